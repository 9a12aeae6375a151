// What page and server say to each other: the types of a painting, the requests, and the socket of frames.

export type Point = [number, number];

export type Image =
  | { kind: "sample"; data: string; index: number }
  | { kind: "noise"; seed: number }
  | { kind: "plain"; value: number }
  | { kind: "png"; bytes: string };

export type Target = { class: number } | { unit: string } | { reference: { image: Image; box: Box } };
export type Box = [number, number, number, number];
export type Tool = "brush" | "rectangle" | "eraser" | "all";
export type Value = string | number | boolean | null;

export interface Stroke {
  tool: Tool;
  points: Point[];
  radius: number;
  softness: number;
  target?: Target;
  within?: string;
  step_size?: number;
  keep?: number;
  steps: number;
  task?: string;
  options?: Record<string, Value>;
}

export interface Painting {
  version: 1;
  model: string;
  image: Image;
  seed: number;
  strokes: Stroke[];
}

export interface Field {
  name: string;
  kind: string;
  default?: unknown;
  help?: string;
  choices?: Value[];
  optional?: boolean;
  required?: boolean;
}

export interface Entry {
  name: string;
  help: string;
  fields: Field[];
}

/** A task asks for words of a vocabulary (labels, mask, unit, reference, ...): true where it cannot do without. */
export interface Task extends Entry {
  words: Record<string, boolean>;
  error: string | null;
}

export interface Layer {
  name: string;
  units: number;
  shape: number[];
}

export interface Defaults {
  within: string;
  step_size: number;
  keep: number;
  steps: number;
}

export interface Model {
  name: string;
  classes: string[];
  shape: [number, number, number];
  layers: Layer[];
  data: string | null;
  defaults: Defaults;
}

export interface Limits {
  steps: number;
  strokes: number;
  upload_bytes: number;
  upload_pixels: number;
}

export interface State {
  version: string;
  models: Model[];
  threat_models: Entry[];
  tasks: Task[];
  paint: { fields: Field[] };
  limits: Limits;
}

export interface Sample {
  index: number;
  label: number;
  class: string;
  image: Image;
}

export interface Unit {
  unit: string;
  classes: string[];
}

export interface Frame {
  job: string;
  model: string;
  number: number;
  of: number;
  probabilities: number[];
  activation: number | null;
  score: number | null;
  change: number;
}

/** An answer of the server that is a refusal; its message is one sentence for a reader. */
export class Refusal extends Error {
  constructor(readonly status: number, message: string) {
    super(message);
  }
}

/** The requests; each carries the token that the page was opened with. */
export class Server {
  constructor(readonly token: string) {}

  async json<T>(path: string, query: Record<string, string | number> = {}, init: RequestInit = {}): Promise<T> {
    return (await this.fetch(path, query, init)).json() as Promise<T>;
  }

  async blob(path: string, query: Record<string, string | number> = {}, init: RequestInit = {}): Promise<Blob> {
    return (await this.fetch(path, query, init)).blob();
  }

  /** The address of a picture for an <img>, which cannot send a header. */
  address(path: string, query: Record<string, string | number>): string {
    return `${path}?${parameters({ ...query, token: this.token })}`;
  }

  private async fetch(path: string, query: Record<string, string | number>, init: RequestInit): Promise<Response> {
    const headers = { ...(init.headers as Record<string, string>), "X-Featlab-Token": this.token };
    const url = Object.keys(query).length ? `${path}?${parameters(query)}` : path;
    let response: Response;
    try {
      response = await fetch(url, { ...init, headers });
    } catch {
      throw new Refusal(0, "featlab studio does not answer; is it still running?");
    }
    if (!response.ok) throw new Refusal(response.status, await sentence(response));
    return response;
  }
}

function parameters(query: Record<string, string | number>): string {
  return new URLSearchParams(Object.entries(query).map(([key, value]) => [key, String(value)])).toString();
}

/** The one sentence of a refusal, or its status where the body has none. */
async function sentence(response: Response): Promise<string> {
  const text = await response.text();
  try {
    const { error } = JSON.parse(text) as { error?: string };
    if (error) return written(error);
  } catch {
    // No sentence of featlab's; the status is said below.
  }
  return `The server refused (status ${response.status}).`;
}

/** A sentence of the server as a reader expects it: with a capital letter and a full stop. */
function written(text: string): string {
  const first = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?]$/.test(first) ? first : `${first}.`;
}

/** The end of a job on one model; `strip` is a PNG in base64 where a task has made several images. */
export interface Done {
  job: string;
  model: string;
  stroke: Stroke | null;
  strip: string | null;
}

export interface Listener {
  frame(frame: Frame, bitmap: ImageBitmap): void;
  done(done: Done): void;
  failed(job: string | null, message: string): void;
  connected(isOpen: boolean): void;
}

/** The socket: jobs go up, frames come down; each frame is acknowledged once it has been drawn. */
export class Connection {
  private socket: WebSocket | null = null;
  private header: Frame | null = null;
  private work: Promise<void> = Promise.resolve();
  private retry = 500;

  constructor(private readonly token: string, private readonly listener: Listener) {}

  open(): void {
    const scheme = location.protocol === "https:" ? "wss:" : "ws:";
    const socket = new WebSocket(`${scheme}//${location.host}/ws?${parameters({ token: this.token })}`);
    socket.binaryType = "arraybuffer";
    socket.onopen = () => {
      this.retry = 500;
      this.listener.connected(true);
    };
    socket.onmessage = (event) => this.receive(event.data as string | ArrayBuffer);
    socket.onclose = () => {
      this.socket = null;
      this.header = null;
      this.listener.connected(false);
      setTimeout(() => this.open(), this.retry);
      this.retry = Math.min(this.retry * 2, 8000);
    };
    this.socket = socket;
  }

  get isOpen(): boolean {
    return this.socket?.readyState === WebSocket.OPEN;
  }

  run(job: string, models: string[], painting: Painting, stroke: Stroke): void {
    this.send({ type: "run", job, models, painting, stroke, steps: stroke.steps });
  }

  show(job: string, models: string[], painting: Painting): void {
    this.send({ type: "show", job, models, painting });
  }

  stop(job: string): void {
    this.send({ type: "stop", job });
  }

  private send(message: object): void {
    if (this.isOpen) this.socket?.send(JSON.stringify(message));
    else this.listener.failed(null, "The connection is lost; it is being made again.");
  }

  /** Pair a header with its bytes, and work through everything in the order in which it came. */
  private receive(data: string | ArrayBuffer): void {
    if (typeof data !== "string") {
      const header = this.header;
      this.header = null;
      if (header) this.work = this.work.then(() => this.draw(header, data));
      return;
    }
    const message = JSON.parse(data) as { type: string } & Record<string, unknown>;
    if (message.type === "frame") {
      this.header = message as unknown as Frame;
    } else if (message.type === "done") {
      this.work = this.work.then(() => this.listener.done(message as unknown as Done));
    } else if (message.type === "error") {
      const { job, message: text } = message as unknown as { job: string | null; message: string };
      this.work = this.work.then(() => this.listener.failed(job, written(text)));
    }
  }

  private async draw(frame: Frame, bytes: ArrayBuffer): Promise<void> {
    let bitmap: ImageBitmap;
    try {
      bitmap = await createImageBitmap(new Blob([bytes]), { colorSpaceConversion: "none" });
    } catch {
      this.listener.failed(frame.job, "A frame came that is not an image.");
      return;
    }
    this.listener.frame(frame, bitmap);
    if (this.isOpen) this.socket?.send(JSON.stringify({ type: "ack", job: frame.job, model: frame.model, number: frame.number }));
  }
}
