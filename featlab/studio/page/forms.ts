// Forms made from the fields of a signature: a plugin that is installed appears without a line of code here.

import { h, prose } from "./dom";
import type { Entry, Field, Value } from "./protocol";

/** A part of a form: an element, and its value as text or flag; undefined leaves the default. */
export interface Control {
  element: HTMLElement;
  value(): Value | undefined;
}

let ids = 0;

/** The form of some fields. */
export class Form {
  readonly element: HTMLElement;
  private readonly controls = new Map<Field, Control>();

  constructor(fields: Field[], threatModels: Entry[], changed: () => void = () => undefined) {
    this.element = h("div", { class: "form" });
    for (const field of fields) {
      const control = controlOf(field, threatModels, changed);
      this.controls.set(field, control);
      this.element.append(control.element);
    }
  }

  values(): Record<string, Value> {
    const found: Record<string, Value> = {};
    for (const [field, control] of this.controls) {
      const value = control.value();
      if (value !== undefined) found[field.name] = value;
    }
    return found;
  }

  /** The first field that must be filled in and is not. */
  missing(): string | null {
    for (const [field, control] of this.controls) {
      if (isNeeded(field) && control.value() === undefined) return field.name;
    }
    return null;
  }
}

export function isNeeded(field: Field): boolean {
  return field.required === true;
}

function controlOf(field: Field, threatModels: Entry[], changed: () => void): Control {
  if (field.kind === "flag") return flag(field, changed);
  if (field.kind === "choice") return choice(field, changed);
  if (field.kind === "threat_model") return withinControl(field, threatModels, changed);
  return text(field, changed);
}

function labelled(field: Field, id: string, input: HTMLElement): HTMLElement {
  if (field.help) input.setAttribute("aria-describedby", `${id}-help`);
  return h("div", { class: `field ${field.kind}` }, h("label", { for: id }, wordsOf(field.name)), input, helpOf(field, id));
}

function helpOf(field: Field, id: string): HTMLElement | null {
  return field.help ? h("p", { class: "help", id: `${id}-help`, title: field.help }, ...prose(field.help)) : null;
}

function text(field: Field, changed: () => void): Control {
  const id = `field-${++ids}`;
  const isNumber = field.kind === "number" || field.kind === "integer";
  const input = h("input", {
    id, type: "text", name: field.name, inputmode: isNumber ? (field.kind === "integer" ? "numeric" : "decimal") : null,
    autocomplete: "off", spellcheck: "false", placeholder: isNeeded(field) ? "needed" : textOf(field.default), input: changed,
  });
  return { element: labelled(field, id, input), value: () => (input.value.trim() === "" ? undefined : input.value.trim()) };
}

function flag(field: Field, changed: () => void): Control {
  const id = `field-${++ids}`;
  const input = h("input", { id, type: "checkbox", name: field.name, change: changed });
  input.checked = field.default === true;
  if (field.help) input.setAttribute("aria-describedby", `${id}-help`);
  const element = h("div", { class: "field" },
    h("label", { class: "switch" }, input, h("span", {}, wordsOf(field.name))),
    helpOf(field, id));
  return { element, value: () => (input.checked === (field.default === true) ? undefined : input.checked) };
}

function choice(field: Field, changed: () => void): Control {
  const id = `field-${++ids}`;
  const choices = [...(field.optional && field.default !== null ? ["none"] : []), ...(field.choices ?? []), ...(field.default === null && !isNeeded(field) ? ["none"] : [])];
  const options = choices.map((each) => h("option", { value: textOf(each) }, textOf(each)));
  const select = h("select", { id, name: field.name, change: changed },
    isNeeded(field) ? h("option", { value: "" }, "choose…") : null, ...options);
  select.value = isNeeded(field) ? "" : textOf(field.default);
  const unchanged = select.value;
  return { element: labelled(field, id, select), value: () => (select.value === unchanged ? undefined : select.value) };
}

function withinControl(field: Field, threatModels: Entry[], changed: () => void): Control {
  const given = field.default === null || field.default === undefined ? "" : textOf(field.default);
  const within = new Within(threatModels, given, changed, wordsOf(field.name), isNeeded(field) ? "choose…" : "as usual");
  const element = h("div", { class: "field" }, within.element, helpOf(field, `field-${++ids}`));
  return { element, value: () => (within.text === given ? undefined : within.text) };
}

/** A set by name and options, as the text "l2:eps=6"; the option named eps, or else the first number, has a slider. */
export class Within {
  readonly element: HTMLElement;
  private readonly select: HTMLSelectElement;
  private readonly parts = h("div", { class: "within-parts" });
  private name: string;
  private options: Record<string, string>;

  constructor(
    private readonly entries: Entry[], given: string, private readonly changed: () => void, label = "Set", empty = "",
  ) {
    [this.name, this.options] = parsed(given);
    const id = `field-${++ids}`;
    const names = entries.map((each) => h("option", { value: each.name, title: each.help }, each.name));
    this.select = h("select", { id, change: () => this.turn() }, given ? null : h("option", { value: "" }, empty), ...names);
    this.select.value = this.name;
    this.element = h("div", { class: "within" }, h("div", { class: "field" }, h("label", { for: id }, label), this.select), this.parts);
    this.fill();
  }

  get text(): string {
    const options = Object.entries(this.options).filter(([, value]) => value !== "").map(([key, value]) => `${key}=${value}`);
    return this.name + (options.length ? `:${options.join(",")}` : "");
  }

  private turn(): void {
    this.name = this.select.value;
    this.options = {};
    const radius = this.radius;
    if (radius && isNeeded(radius)) this.options[radius.name] = this.name === "linf" ? "0.1" : "1";
    this.fill();
    this.changed();
  }

  private get entry(): Entry | undefined {
    return this.entries.find((each) => each.name === this.name);
  }

  private get radius(): Field | undefined {
    const numbers = this.entry?.fields.filter((each) => each.kind === "number") ?? [];
    return numbers.find((each) => each.name === "eps") ?? numbers[0];
  }

  private fill(): void {
    const radius = this.radius;
    const rest = (this.entry?.fields ?? []).filter((each) => each !== radius);
    this.parts.replaceChildren();
    if (radius) this.parts.append(this.slider(radius));
    if (this.entry?.help) this.parts.append(h("p", { class: "help about" }, this.entry.help));
    if (rest.length === 0) return;
    this.parts.append(h("details", {}, h("summary", {}, "More options of this set"), ...rest.map((each) => this.part(each))));
  }

  private slider(field: Field): HTMLElement {
    const id = `field-${++ids}`;
    const start = numberOf(this.options[field.name] ?? textOf(field.default)) ?? 1;
    const most = 2.5 * (start || 1);
    const range = h("input", { id, type: "range", min: 0, max: most, step: most / 200 });
    const number = h("input", { type: "text", inputmode: "decimal", "aria-label": `${field.name}, as a number` });
    range.value = String(start);
    number.value = this.options[field.name] ?? textOf(field.default);
    range.addEventListener("input", () => {
      number.value = this.options[field.name] = String(Number(Number(range.value).toPrecision(3)));
      this.changed();
    });
    number.addEventListener("input", () => {
      this.options[field.name] = number.value.trim();
      const value = numberOf(number.value);
      if (value !== null && value > Number(range.max)) range.max = String(value);
      if (value !== null) range.value = String(value);
      this.changed();
    });
    return h("div", { class: "field slider" }, h("label", { for: id }, field.name), range, number);
  }

  private part(field: Field): HTMLElement {
    const control: Control = controlOf(field, this.entries, () => {
      const value = control.value();
      this.options[field.name] = value === undefined ? "" : textOf(value);
      this.changed();
    });
    return control.element;
  }
}

/** The name and the options of "l2:eps=6,low=0"; commas in [brackets] divide nothing. */
export function parsed(spec: string): [string, Record<string, string>] {
  const colon = spec.indexOf(":");
  if (colon < 0) return [spec, {}];
  const options: Record<string, string> = {};
  for (const part of spec.slice(colon + 1).split(/,(?![^[]*\])/)) {
    const equals = part.indexOf("=");
    if (equals > 0) options[part.slice(0, equals).trim()] = part.slice(equals + 1).trim();
  }
  return [spec.slice(0, colon), options];
}

/** A number that may be written as a fraction. */
export function numberOf(text: string): number | null {
  const [top, bottom, ...rest] = text.split("/").map((each) => (each.trim() === "" ? NaN : Number(each)));
  const value = bottom === undefined ? top! : top! / bottom;
  return rest.length === 0 && Number.isFinite(value) ? value : null;
}

export function textOf(value: unknown): string {
  if (value === null || value === undefined) return "none";
  if (Array.isArray(value)) return value.map(textOf).join(":");
  return String(value);
}

function wordsOf(name: string): string {
  const words = name.replaceAll("_", " ");
  return words.charAt(0).toUpperCase() + words.slice(1);
}
