// One dialog for all orders: asks, waits, and says what was refused.
import { make, say } from "./tools.js";

export class Dialog {
  constructor(element) {
    this.element = element;
    this.form = element.querySelector("form");
    this.part = (name) => element.querySelector(`#dialog-${name}`);
    this.turn = 0;
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.go();
    });
    this.part("cancel").addEventListener("click", () => element.close());
    // Also for Escape. Whatever comes later is no answer to what is open then.
    element.addEventListener("close", () => (this.turn += 1));
  }

  // {title, text, fields, go, danger, waiting, act}: `act` gets the fields' values; what it throws is shown,
  // and a function that it returns is what comes next.
  open(what) {
    this.what = what;
    this.turn += 1;
    say(this.part("title"), what.title);
    say(this.part("text"), what.text);
    say(this.part("error"), "");
    say(this.part("go"), what.go);
    say(this.part("cancel"), "Cancel");
    this.part("go").className = what.danger ? "danger" : "primary";
    this.part("go").disabled = false;
    this.part("fields").replaceChildren(...(what.fields || []).flatMap(field));
    if (!this.element.open) this.element.showModal();
    (this.part("fields").querySelector("input") || this.part("cancel")).focus();
  }

  close() {
    if (this.element.open) this.element.close();
  }

  async go() {
    const turn = this.turn;
    const values = {};
    for (const input of this.part("fields").querySelectorAll("input")) values[input.name] = input.value;
    this.part("go").disabled = true;
    say(this.part("error"), "");
    if (this.what.waiting) {
      say(this.part("text"), this.what.waiting);
      say(this.part("cancel"), "Close");
    }
    try {
      const next = await this.what.act(values);
      if (turn === this.turn) this.close();
      if (next) next();
    } catch (error) {
      if (turn !== this.turn) return this.late(error);
      say(this.part("text"), this.what.text);
      say(this.part("cancel"), "Cancel");
      say(this.part("error"), this.failed(error));
      this.part("go").disabled = false;
    }
  }
}

function field({ name, label, ...attributes }) {
  const id = `field-${name}`;
  return [make("label", { for: id }, label), make("input", { id, name, autocomplete: "off", ...attributes })];
}
