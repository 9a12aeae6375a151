// Paintings as files: saved as a picture and as strokes, and opened again.

import { download } from "./dom";
import type { Image, Model, Painting, Server } from "./protocol";

/** The picture of a painting: the very bytes that featlab paint would write. */
export function pngOf(server: Server, painting: Painting): Promise<Blob> {
  return server.blob("/api/paintings/png", {}, {
    method: "POST", body: JSON.stringify(painting), headers: { "Content-Type": "application/json" } });
}

/** An image as a model gets it. */
export async function pictureOf(server: Server, model: Model, image: Image): Promise<ImageBitmap> {
  const painting: Painting = { version: 1, model: model.name, image, seed: 0, strokes: [] };
  return createImageBitmap(await pngOf(server, painting), { colorSpaceConversion: "none" });
}

export async function savePng(server: Server, painting: Painting): Promise<void> {
  download(await pngOf(server, painting), "painting.png");
}

export function saveStrokes(painting: Painting): void {
  download(new Blob([JSON.stringify(painting, null, 1)], { type: "application/json" }), "painting.json");
}

/** A painting from a file, and the model that it was made with; an Error, for the reader, where it is none. */
export async function opened(file: File, models: Model[]): Promise<[Painting, Model]> {
  const painting = read(await file.text());
  const model = models.find((each) => each.name === painting.model);
  if (!model) throw new Error(`The painting was made with ${painting.model}, which is not open here; start featlab studio with it.`);
  return [painting, model];
}

function read(text: string): Painting {
  let painting: Partial<Painting> | null;
  try {
    painting = JSON.parse(text) as Partial<Painting> | null;
  } catch {
    throw new Error("The file is not JSON; open one that Save strokes has written.");
  }
  if (painting?.version !== 1 || !Array.isArray(painting.strokes) || !painting.image || typeof painting.model !== "string") {
    throw new Error("The file is not a painting of featlab studio; open one that Save strokes has written.");
  }
  return painting as Painting;
}

/** A name for an image of which only the description is known. */
export function nameOf(image: Image): string {
  if (image.kind === "sample") return `Sample no. ${image.index}`;
  return { noise: "Noise", plain: "Plain grey", png: "Own image" }[image.kind];
}
