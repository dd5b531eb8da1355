"""Documents, contexts and times at random, for the properties of flags."""

from hypothesis import strategies as st

VARIANTS = {"off": "", "on": "1", "red": "#f00", "blue": "#00f"}
# Few of each, so that documents and contexts meet.
ATTRIBUTES = ["country", "plan", "age", "version", "targetingKey"]
TEXTS = ["DE", "AT", "gold", "2.1.0", "2.2.0-rc.1", "user-1", "user-2", "5"]
KEYS = [f"user-{number}" for number in range(40)]

served = st.sampled_from(sorted(VARIANTS))
texts = st.sampled_from(TEXTS)
numbers = st.integers(-5, 30) | st.floats(-5, 30)
scalars = texts | numbers | st.booleans()
steps = st.integers(0, 100_000).map(lambda bucket: bucket / 1000)
times = st.integers(0, 3600).map(
    lambda second: f"2026-12-01T{12 + second // 3600}:{second // 60 % 60:02}:00Z"
)
# From before all of these to behind them.
nows = st.floats(1_796_120_000, 1_796_135_000)

tests = (
    st.fixed_dictionaries({"equals": scalars})
    | st.fixed_dictionaries({"in": st.lists(scalars, min_size=1, max_size=4)})
    | st.sampled_from(["starts_with", "ends_with", "contains"]).flatmap(
        lambda word: st.fixed_dictionaries({word: texts})
    )
    | st.sampled_from(["below", "at_most", "at_least", "above"]).flatmap(
        lambda word: st.fixed_dictionaries({word: numbers | st.sampled_from(["2.1.0", "2.2.0-rc.1"])})
    )
    | st.fixed_dictionaries({"exists": st.booleans()})
)
leaves = st.builds(lambda name, test: {"attribute": name, **test}, st.sampled_from(ATTRIBUTES), tests)
conditions = st.recursive(
    leaves,
    lambda inner: (
        st.fixed_dictionaries({"not": inner})
        | st.fixed_dictionaries({"all": st.lists(inner, min_size=1, max_size=3)})
        | st.fixed_dictionaries({"any": st.lists(inner, min_size=1, max_size=3)})
    ),
    max_leaves=5,
)


@st.composite
def splits(draw):
    """Portions that sum to 100."""
    ends = sorted(draw(st.lists(st.integers(0, 100_000), max_size=3)))
    sizes = [end - begin for begin, end in zip([0, *ends], [*ends, 100_000], strict=True)]
    return {"split": [{"serve": draw(served), "percentage": size / 1000} for size in sizes]}


@st.composite
def ramps(draw):
    begin, end = sorted(draw(st.lists(times, min_size=2, max_size=2, unique=True)))
    first, last = sorted(draw(st.lists(steps, min_size=2, max_size=2, unique=True)))
    return {"ramp": {"from": begin, "until": end, "first": first, "last": last}, "serve": draw(served)}


shares = (
    st.fixed_dictionaries({"serve": served})
    | st.fixed_dictionaries({"percentage": steps, "serve": served})
    | ramps()
    | splits()
)


@st.composite
def entries(draw):
    """Entries of which none is in the way of another: each is for other people."""
    made = []
    for number in range(draw(st.integers(0, 4))):
        own = {"attribute": f"group-{number}", "exists": draw(st.booleans())}
        made.append({"if": {"any": [draw(conditions), own]}, **draw(shares)})
    return made + draw(st.lists(shares, max_size=1))


@st.composite
def documents(draw):
    """Documents that `parse` takes."""
    rules = {"match": draw(entries())}
    denied = draw(st.sets(st.sampled_from(KEYS), max_size=4))
    allowed = draw(st.sets(st.sampled_from(KEYS), max_size=4)) - denied
    begin, end = sorted(draw(st.lists(times, min_size=2, max_size=2, unique=True)))
    optional = {
        "deny": sorted(denied),
        "allow": sorted(allowed),
        "default": draw(served),
        "release": "checkbox",
        "from": begin,
        "until": end,
    }
    for key, part in optional.items():
        if draw(st.booleans()):
            rules[key] = part
    return {"variants": VARIANTS, "rules": rules}


contexts = st.fixed_dictionaries(
    {},
    optional={
        "country": texts,
        "plan": scalars,
        "age": numbers,
        "version": texts,
        "group-0": st.just(1),
        "group-1": st.just(1),
        "targetingKey": st.sampled_from(KEYS),
    },
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
junk = json_values | st.sampled_from([10**400, float("nan"), "\ud800", b"x", (1,), {1: 2}, object()])
