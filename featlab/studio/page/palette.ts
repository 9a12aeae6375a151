// What is painted: a class, a neuron, a patch, or a task with its form.

import { choose, chooseByArrows, find, h, prose } from "./dom";
import { Chooser, classPicker } from "./chooser";
import { Form } from "./forms";
import { Gallery } from "./gallery";
import { Patch } from "./patch";
import { guarded } from "./toasts";
import type { Image, Model, Server, State, Target, Task, Value } from "./protocol";

export type Mode = "class" | "unit" | "patch" | "task";
const MODES: Mode[] = ["class", "unit", "patch", "task"];

export interface Picture {
  image: Image;
  bitmap: ImageBitmap;
  name: string;
}

/** What a stroke is to do; or, where that is not chosen yet, a sentence that says what is missing. */
export type Wish =
  | { target?: Target; task?: string; options?: Record<string, Value>; label: string; needsMask: boolean }
  | { missing: string };

export class Palette {
  mode: Mode = "class";
  classIndex: number | null = null;
  private readonly tabs = find("palette-tabs");
  private readonly gallery: Gallery;
  private readonly patch: Patch;
  private classes: { element: HTMLElement; set(index: number | null): void } | null = null;
  private task: Task | null = null;
  private form: Form | null = null;
  private readonly taskNeeds = h("p", { class: "help needs" });
  private readonly tasks = h("select", { id: "task", change: () => this.takeTask(this.tasks.value) });
  private readonly taskHelp = h("p", { class: "help" });
  private model!: Model;

  constructor(
    server: Server, private readonly state: State, private readonly chooser: Chooser,
    private readonly own: () => Picture | null, private readonly fetchPicture: (image: Image) => Promise<ImageBitmap>,
    private readonly changed: () => void,
  ) {
    this.gallery = new Gallery(server, () => this.changed());
    this.patch = new Patch(() => void this.otherPatch(), () => this.ownPatch(), () => this.changed());
    find("pane-unit").append(this.gallery.element);
    find("pane-patch").append(this.patch.element);
    this.tasks.append(...state.tasks.map((task) => h("option", { value: task.name }, task.name)));
    find("pane-task").append(
      h("div", { class: "field row" }, h("label", { for: "task" }, "Task"), this.tasks), this.taskHelp, this.taskNeeds);
    chooseByArrows(this.tabs);
    for (const mode of MODES) find(`tab-${mode}`).addEventListener("click", () => this.turn(mode));
    if (state.tasks[0]) this.takeTask(state.tasks[0].name);
    else find("tab-task").hidden = true;
    this.turn("class");
  }

  look(model: Model): void {
    const isOther = this.model?.classes.join("\n") !== model.classes.join("\n");
    this.model = model;
    this.gallery.look(model);
    if (this.mode === "unit") this.gallery.wake();
    if (!isOther) return;
    this.classIndex = null;
    this.classes = classPicker(model.classes, "Class to paint", (index) => this.takeClass(index));
    find("pane-class").replaceChildren(this.classes.element);
    this.changed();
  }

  takeClass(index: number): void {
    this.classIndex = index;
    this.classes?.set(index);
    this.changed();
  }

  turn(mode: Mode): void {
    this.mode = mode;
    choose(this.tabs, (button) => button.id === `tab-${mode}`);
    for (const each of MODES) find(`pane-${each}`).hidden = each !== mode;
    if (mode === "unit") this.gallery.wake();
    this.changed();
  }

  /** What a stroke is to do. */
  wish(): Wish {
    if (this.mode === "task") return this.taskWish();
    const target = this.target(this.mode);
    if (!target) return { missing: { class: "Choose a class to paint.", unit: "Choose a neuron to paint.", patch: "Choose a patch to paint." }[this.mode] };
    return { target, label: this.labelOf(target), needsMask: true };
  }

  /** A name for what a stroke paints. */
  labelOf(target: Target | undefined, task?: string): string {
    if (task && task !== "paint") return task;
    if (!target) return "";
    if ("class" in target) return this.model.classes[target.class] ?? `class ${target.class}`;
    return "unit" in target ? target.unit : "Patch";
  }

  private target(mode: "class" | "unit" | "patch"): Target | null {
    if (mode === "class") return this.classIndex === null ? null : { class: this.classIndex };
    if (mode === "unit") return this.gallery.unit === null ? null : { unit: this.gallery.unit };
    return this.patch.image === null ? null : { reference: { image: this.patch.image, box: this.patch.box } };
  }

  private taskWish(): Wish {
    const [task, form] = [this.task, this.form];
    if (!task || !form) return { missing: "Choose a task." };
    if (task.error !== null) return { missing: task.error };
    const kind = targetOf(task);
    const target = kind ? this.target(kind) : null;
    if (kind && !target && task.words[WORDS[kind]]) {
      return { missing: { class: "This task needs a class: choose one under Class.", unit: "This task needs a neuron: choose one under Neuron.",
        patch: "This task needs a reference: choose one under Patch." }[kind] };
    }
    const missing = form.missing();
    if (missing) return { missing: `Fill in “${missing}”.` };
    return { ...(target ? { target } : {}), task: task.name, options: form.values(), label: task.name, needsMask: "mask" in task.words };
  }

  private takeTask(name: string): void {
    this.task = this.state.tasks.find((each) => each.name === name) ?? null;
    if (!this.task) return;
    this.tasks.value = name;
    this.taskHelp.replaceChildren(...prose(this.task.error ?? this.task.help));
    this.taskHelp.classList.toggle("fault", this.task.error !== null);
    this.form = new Form(this.task.fields, this.state.threat_models, () => this.changed());
    find("task-form").replaceChildren(this.form.element);
    find("task-options-title").textContent = `Options of ${name}`;
    this.changed();
  }

  /** Say what the chosen task takes from elsewhere on the page. */
  describe(): void {
    const task = this.task;
    if (!task) return;
    const uses: string[] = [];
    const kind = targetOf(task);
    const target = kind ? this.target(kind) : null;
    if (kind) uses.push(target ? `${NOUNS[kind]}: ${this.labelOf(target)}` : `${NOUNS[kind]}: not chosen yet, see ${TABS[kind]}`);
    if ("mask" in task.words) uses.push("mask: paint it on the picture, then press Run");
    this.taskNeeds.textContent = uses.length ? `Uses ${uses.join("; ")}.` : "";
    this.taskNeeds.hidden = uses.length === 0;
  }

  private ownPatch(): void {
    const own = this.own();
    if (own) this.patch.take(own.image, own.bitmap, own.name);
  }

  private async otherPatch(): Promise<void> {
    const chosen = await this.chooser.ask(this.model, "Choose a reference");
    if (!chosen) return;
    await guarded(async () => this.patch.take(chosen.image, await this.fetchPicture(chosen.image), chosen.name));
  }
}

const NOUNS = { class: "class", unit: "neuron", patch: "reference" } as const;
const TABS = { class: "Class", unit: "Neuron", patch: "Patch" } as const;

const WORDS = { class: "labels", unit: "unit", patch: "reference" } as const;

/** Which kind of target a task takes; of several, the one that it cannot do without. */
function targetOf(task: Task): "class" | "unit" | "patch" | null {
  const kinds = (["class", "unit", "patch"] as const).filter((kind) => WORDS[kind] in task.words);
  return kinds.find((kind) => task.words[WORDS[kind]]) ?? kinds[0] ?? null;
}
