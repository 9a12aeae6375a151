// Choosing an image: one of the model's data, a file of the reader's own, or noise.

import { choose, chooseByArrows, find, h, icon } from "./dom";
import type { Image, Model, Sample, Server, State } from "./protocol";

export interface Chosen {
  image: Image;
  name: string;
}

const PAGE = 60;

/** A dialog that ends with an image, or with nothing. */
export class Chooser {
  private readonly dialog = find<HTMLDialogElement>("chooser");
  private readonly title = h("h2", { id: "chooser-title" });
  private readonly grid = h("div", { class: "samples" });
  private readonly more = h("button", { type: "button", class: "button", click: () => void this.load() }, "Show more");
  private readonly note = h("p", { class: "refusal", role: "alert", hidden: true });
  private readonly seed = h("input", { id: "noise-seed", type: "number", min: 0, step: 1, value: 0 });
  private readonly file = h("input", { id: "upload", type: "file", accept: "image/png,image/jpeg,image/webp", class: "hidden-file" });
  private readonly limits = h("span", { class: "help" });
  private model: Model | null = null;
  private loadedOf = "";
  private end: (chosen: Chosen | null) => void = () => undefined;

  constructor(private readonly server: Server, private readonly state: State) {
    const close = h("button", { type: "button", class: "icon-button", "aria-label": "Close", click: () => this.dialog.close() }, icon("close"));
    this.dialog.append(
      h("div", { class: "dialog-head" }, this.title, close),
      h("div", { class: "own" }, this.upload(), this.noise()),
      this.note,
      h("div", { class: "dialog-body" }, this.grid, this.more));
    this.dialog.addEventListener("close", () => this.finish(null));
    this.dialog.addEventListener("paste", (event) => void this.pasted(event));
    chooseByArrows(this.grid);
  }

  /** Open the dialog; null where it is closed without a choice. */
  ask(model: Model, title: string): Promise<Chosen | null> {
    this.finish(null);
    this.model = model;
    this.title.textContent = title;
    this.note.hidden = true;
    this.limits.textContent = `PNG, JPEG or WebP, up to ${Math.round(this.state.limits.upload_bytes / 2 ** 20)} MB`;
    if (this.loadedOf !== model.name) this.reset();
    this.dialog.showModal();
    return new Promise((resolve) => (this.end = resolve));
  }

  private finish(chosen: Chosen | null): void {
    const end = this.end;
    this.end = () => undefined;
    end(chosen);
    if (this.dialog.open) this.dialog.close();
  }

  private upload(): HTMLElement {
    const zone = h("div", { class: "drop" },
      icon("upload"), h("label", { for: "upload" }, "Choose a file"), h("span", {}, ", drop or paste one"), this.limits, this.file);
    this.file.addEventListener("change", () => {
      const [file] = this.file.files ?? [];
      this.file.value = "";
      if (file) void this.send(file);
    });
    zone.addEventListener("dragover", (event) => {
      event.preventDefault();
      zone.classList.add("over");
    });
    zone.addEventListener("dragleave", () => zone.classList.remove("over"));
    zone.addEventListener("drop", (event) => {
      event.preventDefault();
      zone.classList.remove("over");
      const file = event.dataTransfer?.files[0];
      if (file) void this.send(file);
    });
    return zone;
  }

  private noise(): HTMLElement {
    const use = () => {
      const seed = Math.max(0, Math.floor(Number(this.seed.value) || 0));
      this.finish({ image: { kind: "noise", seed }, name: `Noise ${seed}` });
    };
    const plain = () => this.finish({ image: { kind: "plain", value: 0.5 }, name: "Plain grey" });
    return h("div", { class: "noise" }, icon("dice"), h("label", { for: "noise-seed" }, "Noise, seed"), this.seed,
      h("button", { type: "button", class: "button", click: use }, "Use noise"),
      h("button", { type: "button", class: "button", click: plain }, "Plain grey"));
  }

  private async pasted(event: ClipboardEvent): Promise<void> {
    const file = event.clipboardData?.files[0];
    if (file) await this.send(file);
  }

  private async send(file: File): Promise<void> {
    this.note.hidden = true;
    const { upload_bytes: most } = this.state.limits;
    try {
      if (file.size > most) throw new Error(`The file has ${megabytes(file.size)} MB; the most is ${megabytes(most)} MB. Choose a smaller one.`);
      const { image } = await this.server.json<{ image: Image }>("/api/uploads", { model: this.model!.name }, { method: "POST", body: file });
      this.finish({ image, name: file.name || "Pasted image" });
    } catch (error) {
      this.note.textContent = (error as Error).message;
      this.note.hidden = false;
    }
  }

  private reset(): void {
    this.loadedOf = this.model!.name;
    this.grid.replaceChildren();
    this.more.hidden = true;
    if (this.model!.data) void this.load();
    else this.grid.append(h("p", { class: "help" }, "No data are known for this model; take a file or noise."));
  }

  private async load(): Promise<void> {
    const model = this.model!;
    const offset = this.grid.childElementCount;
    try {
      const { samples, total } = await this.server.json<{ samples: Sample[]; total: number }>(
        "/api/samples", { model: model.name, offset, count: PAGE });
      if (model !== this.model) return;
      this.grid.append(...samples.map((sample) => this.tile(model, sample)));
      this.more.hidden = this.grid.childElementCount >= total;
    } catch (error) {
      this.note.textContent = (error as Error).message;
      this.note.hidden = false;
    }
  }

  private tile(model: Model, sample: Sample): HTMLElement {
    const take = () => this.finish({ image: sample.image, name: `${sample.class}, no. ${sample.index}` });
    return h("button", { type: "button", class: "tile", click: take, "data-index": sample.index },
      h("img", { class: "pixels", loading: "lazy", alt: "", src: this.server.address("/api/sample.png", { model: model.name, index: sample.index }) }),
      h("span", {}, sample.class));
  }
}

function megabytes(bytes: number): string {
  return (bytes / 2 ** 20).toFixed(bytes < 2 ** 20 ? 1 : 0);
}

/** A group of classes to choose one from; many have a field to search them. */
export function classPicker(classes: string[], label: string, chosen: (index: number) => void): { element: HTMLElement; set(index: number | null): void } {
  const buttons = classes.map((name, index) =>
    h("button", { type: "button", role: "radio", class: "class-button", "data-class": index, click: () => pick(index) }, name));
  const group = h("div", { class: "class-grid", role: "radiogroup", "aria-label": label }, ...buttons);
  chooseByArrows(group);
  const set = (index: number | null) => choose(group, (button) => button.dataset["class"] === String(index));
  const pick = (index: number) => {
    set(index);
    chosen(index);
  };
  set(null);
  if (classes.length <= 24) return { element: group, set };
  const search = h("input", { type: "search", placeholder: `Search ${classes.length} classes`, "aria-label": "Search the classes" });
  search.addEventListener("input", () => {
    const words = search.value.trim().toLowerCase();
    buttons.forEach((button, index) => (button.hidden = !classes[index]!.toLowerCase().includes(words)));
  });
  return { element: h("div", { class: "searched" }, search, group), set };
}
