// The page: everything that it is made of, wired together.

import { Chooser } from "./chooser";
import { Settings, Tools } from "./controls";
import { download, find, h, icon } from "./dom";
import { Gesture } from "./hand";
import type { Shape } from "./hand";
import { History } from "./history";
import { Palette } from "./palette";
import { Server } from "./protocol";
import type { Image, Model, Painting, Point, Sample, State, Stroke, Tool } from "./protocol";
import { Readout } from "./readout";
import { Session } from "./session";
import type { View } from "./session";
import { paint, Stage } from "./stage";

/** While a shape still grows, frames of its next run are not drawn until they are as far as those before, or so far. */
const CATCH_UP = 12;

class Studio {
  private readonly chooser: Chooser;
  private readonly session: Session;
  private readonly palette: Palette;
  private readonly tools: Tools;
  private readonly settings: Settings;
  private readonly readout = new Readout(find("readout"));
  private readonly history: History;
  private readonly gesture: Gesture;
  private readonly stages: [Stage, Stage];
  private shape: Shape | null = null;
  private isPending = false;
  private imageName = "";
  private drawn = 0;
  private framesDrawn = 0;
  private cursor: Point = [14, 14];

  constructor(private readonly server: Server, private readonly state: State) {
    this.chooser = new Chooser(server, state);
    this.session = new Session(server, {
      frame: (view) => this.frame(view),
      changed: () => this.changed(),
      failed: (message) => this.toast(message),
      said: (message) => (find("live-region").textContent = message),
      connected: (isOpen) => (find("offline").hidden = isOpen),
    });
    this.gesture = new Gesture({
      begins: (tool) => this.begins(tool),
      grew: (shape) => this.stages.forEach((stage) => stage.tint(shape.points.length || shape.tool === "all" ? strokeOf(shape) : null)),
      runs: (shape, isFirst) => this.runWhilePainting(shape, isFirst),
      ended: (shape, isRun) => this.ended(shape, isRun),
    });
    const hand = {
      down: (point: Point) => this.down(point), move: (points: Point[]) => this.move(points), up: () => this.gesture.end(),
      leave: () => this.stages.forEach((stage) => stage.ring(null)),
    };
    this.stages = [new Stage("main", hand), new Stage("beside", hand)];
    find("stages").append(...this.stages.map((stage) => stage.element));
    this.session.model = state.models[0]!;
    this.tools = new Tools(() => this.refreshButtons());
    this.settings = new Settings(state, () => this.refreshAnswer());
    this.palette = new Palette(server, state, this.chooser, () => this.ownPicture(), (image) => this.pictureOf(image),
      () => this.targetChanged(), (message) => this.toast(message));
    this.history = new History(find("history"), this.session);
    this.listen();
  }

  /** Show the first model with an image of its data, and connect. */
  async begin(): Promise<void> {
    const { models } = this.state;
    const options = models.map((model) => h("option", { value: model.name }, model.name.replace(/^zoo:/, "")));
    find("model").append(...options);
    find("beside-label").hidden = models.length < 2;
    this.session.connect();
    this.look(models[0]!, null);
    const image = await this.firstImage(models[0]!);
    this.take(image.image, image.name);
    this.palette.takeClass(models[0]!.classes.length > 1 ? image.other : 0);
  }

  private async firstImage(model: Model): Promise<{ image: Image; name: string; other: number }> {
    if (model.data) {
      try {
        const { samples: [first] } = await this.server.json<{ samples: Sample[] }>(
          "/api/samples", { model: model.name, offset: 0, count: 1 });
        if (first) {
          return { image: first.image, name: `${first.class}, no. ${first.index}`,
            other: (first.label + 1) % model.classes.length };
        }
      } catch (error) {
        this.toast((error as Error).message);
      }
    }
    return { image: { kind: "noise", seed: 0 }, name: "Noise 0", other: 0 };
  }

  // --- what is shown ---------------------------------------------------------------------------------------------

  private look(model: Model, beside: Model | null): void {
    const others = this.state.models.filter((each) => each.name !== model.name && String(each.shape) === String(model.shape));
    const shown = beside && others.includes(beside) ? beside : null;
    find<HTMLSelectElement>("model").value = model.name;
    const select = find<HTMLSelectElement>("beside");
    select.replaceChildren(h("option", { value: "" }, "nothing"),
      ...others.map((each) => h("option", { value: each.name }, each.name.replace(/^zoo:/, ""))));
    select.value = shown?.name ?? "";
    select.disabled = others.length === 0;
    this.stages[0].label(model);
    this.stages[1].label(shown ?? model);
    this.stages[1].element.hidden = shown === null;
    find("stages").classList.toggle("two", shown !== null);
    this.tools.look(model);
    this.settings.look(model);
    this.cursor = [model.shape[2] / 2, model.shape[1] / 2];
    this.session.look(model, shown);
    this.palette.look(model);
  }

  private changeModel(name: string): void {
    const model = this.state.models.find((each) => each.name === name)!;
    const { model: old, beside, image } = this.session;
    const isSameKind = String(old.shape) === String(model.shape) && (image.kind !== "sample" || old.data === model.data);
    this.look(model, beside?.name === model.name ? old : beside);
    if (!isSameKind) void this.firstImage(model).then((first) => this.take(first.image, first.name));
  }

  private take(image: Image, name: string): void {
    this.imageName = name;
    this.forgetShape();
    this.session.seed = this.settings.seedValue;
    this.session.begin(image);
  }

  /** Draw a frame of the run, or of the moment at hand. */
  private frame(view: View): void {
    const stage = view.frame.model === this.session.model.name ? this.stages[0] : this.stages[1];
    const model = stage === this.stages[0] ? this.session.model : this.session.beside ?? this.session.model;
    if (this.session.isRunning) {
      if (this.gesture.isOn && view.frame.number < Math.min(this.drawn, CATCH_UP)) return;
      this.drawn = Math.max(this.drawn, view.frame.number);
      if (!this.gesture.isOn) this.stages.forEach((each) => each.fade());
      stage.frame(view);
      stage.say(view, model);
      if (model === this.session.model) document.body.dataset["frames"] = String(++this.framesDrawn);
      find("status").textContent = view.frame.of > 0 ? `Step ${view.frame.number} of ${view.frame.of}` : "";
      this.refreshAnswer();
    } else {
      this.changed();
    }
  }

  private changed(): void {
    const { moments, at, model, beside, isRunning } = this.session;
    document.body.dataset["running"] = String(isRunning);
    document.body.dataset["moment"] = String(at);
    if (!isRunning && !this.gesture.isOn) {
      const moment = moments[at];
      this.stages[0].show(moment?.views.get(model.name), moments[0]?.views.get(model.name), model);
      if (beside) this.stages[1].show(moment?.views.get(beside.name), moments[0]?.views.get(beside.name), beside);
      this.stages.forEach((stage) => (this.isPending ? undefined : stage.fade()));
      find("status").textContent = this.summary();
      this.drawStrip(moment?.strip);
      this.drawn = 0;
    }
    this.history.draw();
    this.drawThumb();
    this.refreshButtons();
    this.refreshAnswer();
  }

  /** Show all images of a task that has made several. */
  private drawStrip(strip: string | undefined): void {
    find("strip").hidden = strip === undefined;
    if (strip !== undefined) find<HTMLImageElement>("strip-image").src = `data:image/png;base64,${strip}`;
  }

  private summary(): string {
    const stroke = this.session.moments[this.session.at]?.stroke;
    if (this.isPending) return "The mask is set. Press Run.";
    if (!stroke) return "Choose what to paint, then paint on the picture.";
    return stroke.tool === "eraser" ? "Erased." : `${stroke.steps} ${stroke.steps === 1 ? "step" : "steps"} were run.`;
  }

  private refreshAnswer(): void {
    const { current, moments, model, beside, trace } = this.session;
    const wish = this.palette?.wish();
    const target = wish && "target" in wish && wish.target && "class" in wish.target ? wish.target.class : null;
    this.readout.update({
      model, main: current?.views.get(model.name), before: moments[0]?.views.get(model.name),
      beside: beside ? current?.views.get(beside.name) : undefined, besideName: beside?.name ?? null,
      target, trace,
    });
  }

  private refreshButtons(): void {
    if (!this.session?.moments.length || !this.palette) return;
    const { moments, at, isRunning, isStopping } = this.session;
    find<HTMLButtonElement>("undo").disabled = isRunning || at === 0;
    find<HTMLButtonElement>("redo").disabled = isRunning || at === moments.length - 1;
    const run = find<HTMLButtonElement>("run");
    run.classList.toggle("stop", isRunning);
    run.disabled = isStopping;
    const [words, title] = this.wordsOfRun();
    if (run.dataset["words"] === words) return;
    run.dataset["words"] = words;
    run.replaceChildren(icon(isRunning ? "stop" : "run"), words);
    run.title = title;
  }

  /** What the button says, and where a run would be. */
  private wordsOfRun(): [string, string] {
    if (this.session.isRunning) return ["Stop", "Stop (Esc)"];
    if (this.palette.mode === "task") return ["Run task", "Run the task (Enter)"];
    if (!this.shape) return ["Run on all", "Run on the whole image (Enter)"];
    return [this.isPending ? "Run" : "Run again", "Run where you last painted (Enter)"];
  }

  private drawThumb(): void {
    const { moments, model } = this.session;
    const thumb = find<HTMLCanvasElement>("image-thumb");
    [thumb.width, thumb.height] = [model.shape[2], model.shape[1]];
    paint(thumb, moments[0]?.views.get(model.name)?.bitmap);
    find("image-name").textContent = this.imageName;
  }

  private targetChanged(): void {
    const isTask = this.palette?.mode === "task";
    find("strength").hidden = isTask;
    find("task-options").hidden = !isTask || find("task-form").querySelector(".field") === null;
    this.palette?.describe();
    if (this.session?.model && this.session.moments.length) this.refreshAnswer();
    this.refreshButtons();
  }

  // --- painting --------------------------------------------------------------------------------------------------

  private down(point: Point): void {
    this.cursor = point;
    this.gesture.begin(point, this.tools.tool, this.tools.radius, this.tools.softness);
  }

  private move(points: Point[]): void {
    const point = points[points.length - 1];
    if (!point) return;
    const { tool, radius } = this.tools;
    this.stages.forEach((stage) => stage.ring(tool === "all" ? null : { point, radius: tool === "rectangle" ? 0 : radius }));
    this.gesture.move(points);
  }

  private begins(tool: Tool): boolean {
    if (!this.session.moments[this.session.at]?.views.has(this.session.model.name)) return false;
    this.stages.forEach((stage) => stage.tint(null));
    this.drawn = 0;
    if (tool === "eraser") return true;
    const wish = this.palette.wish();
    if (!("missing" in wish)) return true;
    this.toast(wish.missing);
    return false;
  }

  /** Whether a gesture runs by itself; a task only takes the mask from it. */
  private isLive(tool: Tool): boolean {
    return tool === "eraser" || (this.settings.isLive && this.palette.mode !== "task");
  }

  private runWhilePainting(shape: Shape, isFirst: boolean): void {
    if (this.isLive(shape.tool)) this.run(shape, !isFirst);
  }

  private ended(shape: Shape, isRun: boolean): void {
    this.shape = shape.tool === "eraser" || shape.tool === "all" ? null : shape;
    if (!this.isLive(shape.tool)) {
      this.isPending = shape.tool !== "all";
      this.changed();
    } else if (!isRun) {
      this.run(shape, true, this.settings.isHeld && this.drawn > 0 ? this.drawn : undefined);
    } else if (this.settings.isHeld) {
      this.session.stop();
    }
  }

  /** Run a shape with what is chosen; `replaces` says that it is the same gesture as the run under way. */
  private run(shape: Shape, replaces: boolean, steps = this.settings.stepsValue): void {
    try {
      const [stroke, label] = this.strokeFor(shape, steps);
      this.session.run(stroke, label, replaces);
      find("status").textContent = "Running…";
      this.isPending = false;
    } catch (error) {
      this.gesture.cancel();
      this.toast((error as Error).message);
    }
  }

  private strokeFor(shape: Shape, steps: number): [Stroke, string] {
    if (shape.tool === "eraser") return [{ ...strokeOf(shape), steps: 0 }, "Eraser"];
    const wish = this.palette.wish();
    if ("missing" in wish) throw new Error(wish.missing);
    if (this.session.at === 0) this.session.seed = this.settings.seedValue;
    const seed: Record<string, number> = this.settings.seedValue === this.session.seed ? {} : { seed: this.settings.seedValue };
    const { target, task, label } = wish;
    const base = { ...strokeOf(shape), ...(target ? { target } : {}) };
    if (task) return [{ ...base, task, options: { ...seed, ...wish.options }, steps: this.state.limits.steps }, label];
    const options = { ...seed, ...this.settings.more };
    return [{ ...base, ...this.settings.strength(), ...(Object.keys(options).length ? { options } : {}), steps }, label];
  }

  private pressRun(): void {
    if (this.session.isRunning) return this.session.stop();
    const wish = this.palette.wish();
    const whole: Shape = { tool: "all", points: [], radius: this.tools.radius, softness: 0 };
    const usesMask = "missing" in wish || wish.needsMask;
    this.run(usesMask && this.shape ? this.shape : whole, false);
  }

  private forgetShape(): void {
    this.shape = null;
    this.isPending = false;
    this.stages.forEach((stage) => stage.tint(null));
  }

  private undo(by: number): void {
    this.forgetTint();
    this.session.go(this.session.at + by);
  }

  private forgetTint(): void {
    this.isPending = false;
    this.stages.forEach((stage) => stage.tint(null));
  }

  // --- images and files ------------------------------------------------------------------------------------------

  private ownPicture(): { image: Image; bitmap: ImageBitmap; name: string } | null {
    const bitmap = this.session.moments[0]?.views.get(this.session.model.name)?.bitmap;
    return bitmap ? { image: this.session.image, bitmap, name: this.imageName } : null;
  }

  private async pictureOf(image: Image): Promise<ImageBitmap> {
    const painting: Painting = { version: 1, model: this.session.model.name, image, seed: 0, strokes: [] };
    return createImageBitmap(await this.png(painting), { colorSpaceConversion: "none" });
  }

  private png(painting: Painting): Promise<Blob> {
    return this.server.blob("/api/paintings/png", {}, {
      method: "POST", body: JSON.stringify(painting), headers: { "Content-Type": "application/json" } });
  }

  private async savePng(): Promise<void> {
    await this.guarded(async () => download(await this.png(this.session.painting()), "painting.png"));
  }

  private saveStrokes(): void {
    const text = JSON.stringify(this.session.painting(), null, 1);
    download(new Blob([text], { type: "application/json" }), "painting.json");
  }

  private async openStrokes(file: File): Promise<void> {
    await this.guarded(async () => {
      const painting = readPainting(await file.text());
      const model = this.state.models.find((each) => each.name === painting.model);
      if (!model) throw new Error(`The painting was made with ${painting.model}, which is not open here; start featlab studio with it.`);
      this.imageName = { sample: "Sample", noise: "Noise", plain: "Plain", png: "Own image" }[painting.image.kind] ?? "Image";
      if (painting.image.kind === "sample") this.imageName = `Sample no. ${painting.image.index}`;
      this.settings.seedValue = painting.seed;
      this.forgetShape();
      this.session.abandon();
      this.look(model, this.session.beside);
      this.session.seed = painting.seed;
      this.session.begin(painting.image, painting.strokes, (stroke) =>
        (stroke.tool === "eraser" ? "Eraser" : this.palette.labelOf(stroke.target, stroke.task)));
    });
  }

  private async guarded(work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      this.toast((error as Error).message);
    }
  }

  private toast(message: string): void {
    const close = h("button", { type: "button", class: "icon-button", "aria-label": "Dismiss" }, icon("close"));
    const toast = h("div", { class: "toast" }, h("p", {}, message), close);
    close.addEventListener("click", () => toast.remove());
    const toasts = find("toasts");
    for (const old of [...toasts.children]) if (old.querySelector("p")?.textContent === message || toasts.childElementCount > 2) old.remove();
    toasts.append(toast);
    setTimeout(() => toast.remove(), 9000);
  }

  // --- listening -------------------------------------------------------------------------------------------------

  private listen(): void {
    for (const [id, name] of [["undo", "undo"], ["redo", "redo"], ["open", "open"], ["save-strokes", "strokes"], ["save-png", "save"]]) {
      find(id!).prepend(icon(name!));
    }
    find("undo").addEventListener("click", () => this.undo(-1));
    find("redo").addEventListener("click", () => this.undo(1));
    find("run").addEventListener("click", () => this.pressRun());
    find<HTMLSelectElement>("model").addEventListener("change", (event) => this.changeModel((event.target as HTMLSelectElement).value));
    find<HTMLSelectElement>("beside").addEventListener("change", (event) => {
      const name = (event.target as HTMLSelectElement).value;
      this.look(this.session.model, this.state.models.find((each) => each.name === name) ?? null);
    });
    find("choose-image").addEventListener("click", () => void this.chooseImage());
    find("save-png").addEventListener("click", () => void this.savePng());
    find("save-strokes").addEventListener("click", () => this.saveStrokes());
    const file = find<HTMLInputElement>("open-file");
    find("open").addEventListener("click", () => file.click());
    file.addEventListener("change", () => {
      const [chosen] = file.files ?? [];
      file.value = "";
      if (chosen) void this.openStrokes(chosen);
    });
    const uncover = find<HTMLInputElement>("uncover");
    uncover.addEventListener("input", () => this.stages.forEach((stage) => stage.uncover(Number(uncover.value) / 100)));
    document.addEventListener("keydown", (event) => this.key(event));
    for (const stage of this.stages) this.listenToKeys(stage);
  }

  private async chooseImage(): Promise<void> {
    const chosen = await this.chooser.ask(this.session.model, "Choose an image");
    if (chosen) this.take(chosen.image, chosen.name);
  }

  /** Shortcuts, where no text is being written. */
  private key(event: KeyboardEvent): void {
    const target = event.target as HTMLElement;
    if (target.closest("dialog, input:not([type=range], [type=checkbox]), select, textarea")) return;
    const key = event.key.toLowerCase();
    const isCommand = event.ctrlKey || event.metaKey;
    const action = isCommand
      ? { z: () => this.undo(event.shiftKey ? 1 : -1), y: () => this.undo(1) }[key]
      : { b: () => this.tools.take("brush"), r: () => this.tools.take("rectangle"), e: () => this.tools.take("eraser"), a: () => this.tools.take("all"),
          "[": () => this.tools.resize(0.85), "]": () => this.tools.resize(1.18),
          escape: () => this.session.stop(), ...(target.closest("button, a, summary") ? {} : { enter: () => this.pressRun() }) }[key];
    if (!action || event.altKey) return;
    event.preventDefault();
    action();
  }

  /** Painting by keys: arrows move the brush, Shift faster; Space held down paints. */
  private listenToKeys(stage: Stage): void {
    const { board } = stage;
    const where = () => this.move([[...this.cursor]]);
    board.tabIndex = 0;
    board.setAttribute("role", "application");
    board.setAttribute("aria-label", "Picture. Arrow keys move the brush, Space held down paints, Enter runs, Escape stops.");
    board.addEventListener("focus", () => board.matches(":focus-visible") && where());
    board.addEventListener("blur", () => stage.ring(null));
    board.addEventListener("keydown", (event) => {
      const way = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
      if (!way && event.key !== " ") return;
      event.preventDefault();
      if (!way) {
        if (!event.repeat) this.down([...this.cursor]);
        return;
      }
      const [, height, width] = this.session.model.shape;
      const by = (event.shiftKey ? 4 : 1) * Math.max(1, Math.round(width / 64));
      this.cursor = [Math.min(width, Math.max(0, this.cursor[0] + by * way[0]!)), Math.min(height, Math.max(0, this.cursor[1] + by * way[1]!))];
      where();
    });
    board.addEventListener("keyup", (event) => event.key === " " && this.gesture.end());
  }
}

function strokeOf(shape: Shape): Stroke {
  return { ...shape, steps: 0 };
}

/** A painting from the text of a file; an Error, for the reader, where it is none. */
function readPainting(text: string): Painting {
  let painting: Partial<Painting>;
  try {
    painting = JSON.parse(text) as Partial<Painting>;
  } catch {
    throw new Error("The file is not JSON; open one that Save strokes has written.");
  }
  if (painting?.version !== 1 || !Array.isArray(painting.strokes) || !painting.image || typeof painting.model !== "string") {
    throw new Error("The file is not a painting of featlab studio; open one that Save strokes has written.");
  }
  return painting as Painting;
}

async function start(): Promise<void> {
  const server = new Server(new URLSearchParams(location.search).get("token") ?? "");
  try {
    const state = await server.json<State>("/api/state");
    await new Studio(server, state).begin();
    document.body.classList.add("ready");
  } catch (error) {
    document.body.classList.add("refused");
    find("offline").hidden = false;
    find("offline").textContent = (error as Error).message;
  }
}

void start();
