// The page: everything that it is made of, wired together.

import { Chooser } from "./chooser";
import { Settings, Tools } from "./controls";
import { find, h, icon } from "./dom";
import { nameOf, opened, pictureOf, savePng, saveStrokes } from "./files";
import { History } from "./history";
import { listenToBrushKeys, listenToShortcuts } from "./keys";
import { Painter } from "./painter";
import { Palette } from "./palette";
import type { Picture } from "./palette";
import { Server } from "./protocol";
import type { Image, Model, Sample, State } from "./protocol";
import { Readout } from "./readout";
import { Session } from "./session";
import type { View } from "./session";
import { paint, Stage } from "./stage";
import type { Hand } from "./stage";
import { guarded, toast } from "./toasts";

class Studio {
  private readonly chooser: Chooser;
  private readonly session: Session;
  private readonly palette: Palette;
  private readonly tools: Tools;
  private readonly settings: Settings;
  private readonly readout = new Readout(find("readout"));
  private readonly history: History;
  private readonly painter: Painter;
  private readonly stages: [Stage, Stage];
  private imageName = "";
  private framesDrawn = 0;

  constructor(private readonly server: Server, private readonly state: State) {
    this.chooser = new Chooser(server, state);
    this.session = new Session(server, {
      frame: (view) => this.frame(view),
      changed: () => this.changed(),
      failed: toast,
      said: (message) => (find("live-region").textContent = message),
      connected: (isOpen) => (find("offline").hidden = isOpen),
    });
    const hand: Hand = {
      down: (point) => this.painter.down(point), move: (points) => this.painter.move(points),
      up: () => this.painter.up(), leave: () => this.painter.leave(),
    };
    this.stages = [new Stage("main", hand), new Stage("beside", hand)];
    find("stages").append(...this.stages.map((stage) => stage.element));
    this.session.model = state.models[0]!;
    this.tools = new Tools(() => this.refreshButtons());
    this.settings = new Settings(state, () => this.refreshAnswer());
    this.palette = new Palette(server, state, this.chooser, () => this.ownPicture(), (image) => pictureOf(server, this.session.model, image),
      () => this.targetChanged());
    this.painter = new Painter(this.session, this.palette, this.tools, this.settings, this.stages, state.limits.steps, () => this.changed());
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
        toast((error as Error).message);
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
    this.painter.cursor = [model.shape[2] / 2, model.shape[1] / 2];
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
    this.painter.forget(true);
    this.session.seed = this.settings.seedValue;
    this.session.begin(image);
  }

  /** Draw a frame of the run, or of the moment at hand. */
  private frame(view: View): void {
    const stage = view.frame.model === this.session.model.name ? this.stages[0] : this.stages[1];
    const model = stage === this.stages[0] ? this.session.model : this.session.beside ?? this.session.model;
    if (this.session.isRunning) {
      if (!this.painter.draws(view)) return;
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
    if (!isRunning && !this.painter.isDrawing) {
      const moment = moments[at];
      this.stages[0].show(moment?.views.get(model.name), moments[0]?.views.get(model.name), model);
      if (beside) this.stages[1].show(moment?.views.get(beside.name), moments[0]?.views.get(beside.name), beside);
      this.stages.forEach((stage) => (this.painter.isPending ? undefined : stage.fade()));
      find("status").textContent = this.summary();
      this.drawStrip(moment?.strip);
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
    if (this.painter.isPending) return "The mask is set. Press Run.";
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
    if (!this.session?.moments.length || !this.painter) return;
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
    if (!this.painter.shape) return ["Run on all", "Run on the whole image (Enter)"];
    return [this.painter.isPending ? "Run" : "Run again", "Run where you last painted (Enter)"];
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

  // --- listening -------------------------------------------------------------------------------------------------

  private listen(): void {
    for (const [id, name] of [["undo", "undo"], ["redo", "redo"], ["open", "open"], ["save-strokes", "strokes"], ["save-png", "save"]]) {
      find(id!).prepend(icon(name!));
    }
    find("undo").addEventListener("click", () => this.undo(-1));
    find("redo").addEventListener("click", () => this.undo(1));
    find("run").addEventListener("click", () => this.painter.press());
    find<HTMLSelectElement>("model").addEventListener("change", (event) => this.changeModel((event.target as HTMLSelectElement).value));
    find<HTMLSelectElement>("beside").addEventListener("change", (event) => {
      const name = (event.target as HTMLSelectElement).value;
      this.look(this.session.model, this.state.models.find((each) => each.name === name) ?? null);
    });
    find("choose-image").addEventListener("click", () => void this.chooseImage());
    find("save-png").addEventListener("click", () => void guarded(() => savePng(this.server, this.session.painting())));
    find("save-strokes").addEventListener("click", () => saveStrokes(this.session.painting()));
    const file = find<HTMLInputElement>("open-file");
    find("open").addEventListener("click", () => file.click());
    file.addEventListener("change", () => {
      const [chosen] = file.files ?? [];
      file.value = "";
      if (chosen) void guarded(() => this.open(chosen));
    });
    const uncover = find<HTMLInputElement>("uncover");
    uncover.addEventListener("input", () => this.stages.forEach((stage) => stage.uncover(Number(uncover.value) / 100)));
    listenToShortcuts(this.tools, this.painter, this.session, (by) => this.undo(by));
    for (const stage of this.stages) listenToBrushKeys(stage, this.painter, this.session);
  }

  private async chooseImage(): Promise<void> {
    const chosen = await this.chooser.ask(this.session.model, "Choose an image");
    if (chosen) this.take(chosen.image, chosen.name);
  }

  private undo(by: number): void {
    this.painter.forget(false);
    this.session.go(this.session.at + by);
  }

  private ownPicture(): Picture | null {
    const bitmap = this.session.moments[0]?.views.get(this.session.model.name)?.bitmap;
    return bitmap ? { image: this.session.image, bitmap, name: this.imageName } : null;
  }

  private async open(file: File): Promise<void> {
    const [painting, model] = await opened(file, this.state.models);
    this.imageName = nameOf(painting.image);
    this.settings.seedValue = painting.seed;
    this.painter.forget(true);
    this.session.abandon();
    this.look(model, this.session.beside);
    this.session.seed = painting.seed;
    this.session.begin(painting.image, painting.strokes, (stroke) =>
      (stroke.tool === "eraser" ? "Eraser" : this.palette.labelOf(stroke.target, stroke.task)));
  }
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
