// Small things the page is made with. No text is ever read as HTML.

export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

const SVG = "http://www.w3.org/2000/svg";

export function draw(tag, attributes = {}, ...children) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

// Set a text only if it is another, so that nothing is read aloud again, and no selection is lost.
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

export function mark(element, name, value) {
  if (element.getAttribute(name) !== value) element.setAttribute(name, value);
}

// A list of views by name, each with an `element`: kept as they are, so that the focus stays where it is.
export class Keyed {
  constructor(parent, create) {
    this.parent = parent;
    this.create = create;
    this.views = new Map();
  }

  update(names, change) {
    for (const [name, view] of this.views) {
      if (!names.includes(name)) {
        view.element.remove();
        this.views.delete(name);
      }
    }
    names.forEach((name, at) => {
      if (!this.views.has(name)) this.views.set(name, this.create(name));
      const view = this.views.get(name);
      if (this.parent.children[at] !== view.element) this.parent.insertBefore(view.element, this.parent.children[at] || null);
      change(view, name);
    });
  }
}

// 83 as "1 min 23 s".
export function age(total) {
  const s = Math.max(Math.floor(total), 0);
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min ${s % 60} s`;
  if (s < 86_400) return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
  return `${Math.floor(s / 86_400)} d ${Math.floor((s % 86_400) / 3600)} h`;
}

// Three digits: 0.123, 1.23, 12.3, 123.
export function short(value) {
  if (value === 0) return "0";
  const digits = Math.abs(value) >= 100 ? 0 : Math.abs(value) >= 10 ? 1 : 2;
  return value.toFixed(digits);
}
