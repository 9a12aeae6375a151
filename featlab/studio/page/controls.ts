// The tool in hand and how far a stroke may go.

import { choose, chooseByArrows, find, h, icon } from "./dom";
import { Form, numberOf, Within } from "./forms";
import type { Model, State, Tool, Value } from "./protocol";

const TOOLS: [Tool, string, string][] = [
  ["brush", "Brush", "B"], ["rectangle", "Rectangle", "R"], ["eraser", "Eraser", "E"], ["all", "Whole image", "A"],
];

/** Brush, rectangle, eraser or the whole image; their size and their soft edge. */
export class Tools {
  tool: Tool = "brush";
  private readonly group = find("tools");
  private readonly size = find<HTMLInputElement>("radius");
  private readonly soft = find<HTMLInputElement>("softness");

  constructor(private readonly changed: () => void) {
    for (const [tool, name, key] of TOOLS) {
      this.group.append(h("button", {
        type: "button", role: "radio", class: "tool", "data-tool": tool, "aria-label": name, title: `${name} (${key})`, click: () => this.take(tool),
      }, icon(tool), h("span", { "aria-hidden": "true" }, name)));
    }
    chooseByArrows(this.group);
    for (const input of [this.size, this.soft]) input.addEventListener("input", () => this.say());
    this.size.value = "4";
    this.soft.value = "0.5";
    this.take("brush");
  }

  get radius(): number {
    return Number(this.size.value);
  }

  get softness(): number {
    return Number(this.soft.value);
  }

  /** Fit the sizes to the images of a model. */
  look(model: Model): void {
    const side = Math.min(model.shape[1], model.shape[2]);
    const share = Number(this.size.value) / Number(this.size.max);
    const isNew = this.size.dataset["side"] !== String(side);
    this.size.dataset["side"] = String(side);
    this.size.max = String(Math.round(side * 0.4));
    this.size.step = side > 96 ? "1" : "0.25";
    if (isNew) this.size.value = String(Math.max(0.5, Math.min(share, 0.4) * Number(this.size.max)));
    this.say();
  }

  take(tool: Tool): void {
    this.tool = tool;
    choose(this.group, (button) => button.dataset["tool"] === tool);
    find("radius-label").classList.toggle("unused", tool === "rectangle" || tool === "all");
    find("softness-label").classList.toggle("unused", tool === "all");
    this.say();
  }

  resize(by: number): void {
    this.size.value = String(Number(this.size.value) * by);
    this.say();
  }

  private say(): void {
    find("radius-out").textContent = `${this.radius} px`;
    find("softness-out").textContent = `${Math.round(100 * this.softness)} %`;
    this.changed();
  }
}

/** Options of painting with a control of their own on the page. */
const ELSEWHERE = ["within", "steps", "step_size", "keep", "seed"];

/** The set, steps, step size, weight of staying near, and seed; and when a stroke runs. */
export class Settings {
  private within: Within | null = null;
  private readonly steps = find<HTMLInputElement>("steps");
  private readonly stepSize = find<HTMLInputElement>("step-size");
  private readonly keep = find<HTMLInputElement>("keep");
  private readonly seed = find<HTMLInputElement>("seed");
  private readonly live = find<HTMLInputElement>("live");
  private readonly hold = find<HTMLInputElement>("hold");
  private readonly form: Form;
  private of = "";

  constructor(private readonly state: State, private readonly changed: () => void) {
    this.seed.value = "0";
    this.steps.max = String(state.limits.steps);
    this.form = new Form(state.paint.fields.filter((each) => !ELSEWHERE.includes(each.name)), state.threat_models, changed);
    find("paint-more").append(this.form.element);
    this.live.addEventListener("change", () => (this.hold.disabled = !this.live.checked));
    this.hold.addEventListener("change", () => changed());
  }

  /** Begin with what suits a model, where it asks for something else than the one before. */
  look(model: Model): void {
    const { within, steps, step_size, keep } = model.defaults;
    const of = JSON.stringify(model.defaults);
    if (of === this.of) return;
    this.of = of;
    this.within = new Within(this.state.threat_models, within, this.changed);
    find("within").replaceChildren(this.within.element);
    this.steps.value = String(steps);
    this.stepSize.value = String(step_size);
    this.keep.value = String(keep);
  }

  /** The options of painting that have no place of their own here. */
  get more(): Record<string, Value> {
    return this.form.values();
  }

  get isLive(): boolean {
    return this.live.checked;
  }

  get isHeld(): boolean {
    return this.live.checked && this.hold.checked;
  }

  get seedValue(): number {
    return Math.max(0, Math.floor(Number(this.seed.value) || 0));
  }

  set seedValue(seed: number) {
    this.seed.value = String(seed);
  }

  get stepsValue(): number {
    return Math.min(this.state.limits.steps, Math.max(1, Math.floor(Number(this.steps.value) || 1)));
  }

  get withinText(): string {
    return this.within?.text ?? "";
  }

  /** The strength of a painted stroke; an Error, for the reader, where a number is none. */
  strength(): { within: string; step_size: number; keep: number } {
    return { within: this.withinText, step_size: this.number(this.stepSize, "Step size"), keep: this.number(this.keep, "Keep") };
  }

  private number(input: HTMLInputElement, name: string): number {
    const value = numberOf(input.value);
    input.setAttribute("aria-invalid", String(value === null));
    if (value === null) throw new Error(`${name} must be a number, such as 0.5 or 1/2; it is “${input.value}”.`);
    return value;
  }
}
