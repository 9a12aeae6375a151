// The painting and its history, and the one job that may run: what is shown follows from `moments` and `at`.

import { Connection } from "./protocol";
import type { Done, Frame, Image, Model, Painting, Server, Stroke } from "./protocol";

/** What a model shows and says at one moment. */
export interface View {
  bitmap: ImageBitmap;
  frame: Frame;
}

/** The image after a stroke (the first: before any), as each of the shown models has it. */
export interface Moment {
  stroke: Stroke | null;
  label: string;
  views: Map<string, View>;
  /** All images of a task that makes several, in a row, as PNG in base64. */
  strip?: string;
}

interface Job {
  id: string;
  kind: "run" | "show";
  models: string[];
  moment: Moment;
  awaited: Set<string>;
  strokes: Map<string, Stroke>;
  isStopping: boolean;
  trace: number[];
}

export interface SessionEvents {
  /** A frame was received and is to be drawn. */
  frame(view: View, moment: Moment): void;
  /** What stands in the history, or whether a job runs, has changed. */
  changed(): void;
  failed(message: string): void;
  said(message: string): void;
  connected(isOpen: boolean): void;
}

export class Session {
  moments: Moment[] = [];
  at = 0;
  seed = 0;
  image: Image = { kind: "noise", seed: 0 };
  model!: Model;
  beside: Model | null = null;
  private job: Job | null = null;
  /** Where in the history the latest run began. */
  private base = 0;
  private next: (() => void) | null = null;
  private count = 0;
  private refused = new Set<string>();
  private readonly connection: Connection;

  constructor(server: Server, private readonly events: SessionEvents) {
    this.connection = new Connection(server.token, {
      frame: (frame, bitmap) => this.received(frame, bitmap),
      done: (done) => this.finished(done),
      failed: (job, message) => this.refusedBy(job, message),
      connected: (isOpen) => this.connected(isOpen),
    });
  }

  connect(): void {
    this.connection.open();
  }

  get names(): string[] {
    return this.beside ? [this.model.name, this.beside.name] : [this.model.name];
  }

  get isRunning(): boolean {
    return this.job?.kind === "run";
  }

  get isStopping(): boolean {
    return this.job?.kind === "run" && this.job.isStopping;
  }

  /** The moment to be looked at: that of the run, or the one in the history. */
  get current(): Moment | undefined {
    return this.job?.kind === "run" && this.job.moment.views.size > 0 ? this.job.moment : this.moments[this.at];
  }

  /** The scores of the steps of the latest run. */
  trace: number[] = [];

  /** The painting up to a moment of the history. */
  painting(until = this.at): Painting {
    const strokes = this.moments.slice(1, until + 1).map((moment) => moment.stroke as Stroke);
    return { version: 1, model: this.model.name, image: this.image, seed: this.seed, strokes };
  }

  /** Begin anew from an image, or from a painting that was opened. */
  begin(image: Image, strokes: Stroke[] = [], label: (stroke: Stroke) => string = () => ""): void {
    this.abandon();
    this.image = image;
    this.moments = [{ stroke: null, label: "Start", views: new Map() }];
    for (const stroke of strokes) this.moments.push({ stroke, label: label(stroke), views: new Map() });
    this.at = strokes.length;
    this.forgetRefusals();
    this.events.changed();
    this.fill();
  }

  /** Show other models: what the history shows is asked for anew. */
  look(model: Model, beside: Model | null): void {
    const isOther = model.name !== this.model?.name;
    this.abandon();
    this.model = model;
    this.beside = beside;
    for (const moment of isOther ? this.moments : []) moment.views.clear();
    this.forgetRefusals();
    this.events.changed();
    this.fill();
  }

  /**
   * Run a stroke from the image at hand. A run of an earlier stroke is ended and kept first; with `replaces`, the
   * stroke is the one that was run last, and has grown: it takes that one's place.
   */
  run(stroke: Stroke, label: string, replaces: boolean): void {
    if (this.next || (this.isRunning && !replaces)) {
      this.next = () => this.startRun(stroke, label, this.at);
      return this.stop();
    }
    this.startRun(stroke, label, replaces ? this.base : this.at);
  }

  private startRun(stroke: Stroke, label: string, base: number): void {
    this.abandon();
    this.at = this.base = base;
    const moment: Moment = { stroke, label, views: new Map() };
    const job = this.start("run", this.names, moment);
    this.connection.run(job.id, job.models, this.painting(), stroke);
    this.events.changed();
  }

  /** Ask the run to end where it is; it is kept. */
  stop(): void {
    if (this.job?.kind !== "run" || this.job.isStopping) return;
    this.job.isStopping = true;
    this.connection.stop(this.job.id);
    this.events.changed();
  }

  /** Forget the run. */
  abandon(): void {
    if (!this.job) return;
    this.connection.stop(this.job.id);
    this.job = null;
    this.next = null;
  }

  go(to: number): void {
    if (this.isRunning || to < 0 || to >= this.moments.length || to === this.at) return;
    this.at = to;
    this.events.changed();
    this.fill();
  }

  private start(kind: "run" | "show", models: string[], moment: Moment): Job {
    this.job = {
      id: `${kind}-${++this.count}`, kind, models, moment,
      awaited: new Set(models), strokes: new Map(), isStopping: false, trace: [],
    };
    if (kind === "run") this.trace = this.job.trace;
    return this.job;
  }

  /** Ask for what the history cannot show yet: first the moment at hand, then the others, one by one. */
  private fill(): void {
    if (this.job || !this.connection.isOpen) return;
    const order = [this.at, ...this.moments.keys()];
    for (const index of order) {
      const moment = this.moments[index];
      const missing = this.names.filter((name) => moment && !moment.views.has(name) && !this.refused.has(`${index} ${name}`));
      if (!moment || missing.length === 0) continue;
      const job = this.start("show", missing, moment);
      this.connection.show(job.id, missing, this.painting(index));
      return;
    }
  }

  private received(frame: Frame, bitmap: ImageBitmap): void {
    const job = this.job;
    if (!job || frame.job !== job.id) return bitmap.close();
    const view = { bitmap, frame };
    job.moment.views.set(frame.model, view);
    if (job.kind === "run") {
      if (frame.model === this.model.name && frame.score !== null) job.trace.push(frame.score);
      this.events.frame(view, job.moment);
    } else if (job.moment === this.moments[this.at]) {
      this.events.frame(view, job.moment);
    }
  }

  private finished({ job: id, model, stroke, strip }: Done): void {
    const job = this.job;
    if (!job || job.id !== id) return;
    job.awaited.delete(model);
    if (stroke) job.strokes.set(model, stroke);
    if (strip && model === this.model.name) job.moment.strip = strip;
    if (job.awaited.size > 0) return;
    this.job = null;
    if (job.kind === "run") this.keep(job);
    this.continued();
  }

  /** After a job: the run that waits for it, or what the history still lacks. */
  private continued(): void {
    const next = this.next;
    this.next = null;
    if (next) return next();
    this.events.changed();
    this.fill();
  }

  /** Put a run that ended into the history; a model that ended at another step than the first is shown anew. */
  private keep(job: Job): void {
    const stroke = job.strokes.get(this.model.name);
    if (!stroke || !job.moment.views.has(this.model.name)) return;
    if (stroke.tool !== "eraser" && stroke.steps === 0) return;
    job.moment.stroke = stroke;
    for (const [name, other] of job.strokes) {
      if (other.steps !== stroke.steps) job.moment.views.delete(name);
    }
    this.moments = [...this.moments.slice(0, this.at + 1), job.moment];
    this.at = this.moments.length - 1;
    this.forgetRefusals();
    this.events.said(`${job.moment.label}: done after ${stroke.steps} steps.`);
  }

  private refusedBy(id: string | null, message: string): void {
    const job = this.job;
    if (job && id === job.id) {
      this.job = null;
      this.next = null;
      const index = this.moments.indexOf(job.moment);
      for (const model of job.models) this.refused.add(`${index} ${model}`);
    } else if (id !== null) {
      return; // Of a job that was given up.
    }
    this.events.failed(message);
    this.continued();
  }

  private connected(isOpen: boolean): void {
    if (!isOpen) this.job = this.next = null;
    this.events.connected(isOpen);
    this.events.changed();
    if (isOpen) {
      this.forgetRefusals();
      this.fill();
    }
  }

  private forgetRefusals(): void {
    this.refused.clear();
  }
}
