// Talking to the service: one request at a time per purpose, the newest wins; the API key when one is needed.

const KEY_SLOT = "lexlip-key";
const running = new Map();

export class Problem extends Error {
  constructor(status, detail, retryAfter) {
    super(detail);
    this.status = status;
    this.retryAfter = retryAfter;
  }
}

// Fetches; a newer call with the same purpose cancels the older one, whose promise then never settles.
export async function ask(purpose, path, options = {}) {
  running.get(purpose)?.abort();
  const controller = new AbortController();
  running.set(purpose, controller);
  try {
    const response = await withKey(path, { ...options, signal: controller.signal });
    if (response.ok) return await response.json();
    const answer = await response.json().catch(() => ({}));
    throw new Problem(response.status, answer.detail ?? response.statusText, Number(response.headers.get("Retry-After")));
  } catch (error) {
    if (error.name === "AbortError") return new Promise(() => {});
    if (error instanceof Problem) throw error;
    throw new Problem(0, "The service does not answer.", 2);
  } finally {
    if (running.get(purpose) === controller) running.delete(purpose);
  }
}

export const giveUp = (purpose) => running.get(purpose)?.abort();

async function withKey(path, options) {
  const key = sessionStorage.getItem(KEY_SLOT);
  const headers = { ...options.headers, ...(key ? { "X-API-Key": key } : {}) };
  const response = await fetch(path, { ...options, headers });
  if (response.status !== 401) return response;
  await askForKey();
  return withKey(path, options);
}

let asking = null;

// Several requests may be refused at once; the person is asked once.
function askForKey() {
  asking ??= new Promise((resolve) => {
    const dialog = document.querySelector("#key-dialog");
    const field = document.querySelector("#key");
    dialog.addEventListener(
      "close",
      () => {
        sessionStorage.setItem(KEY_SLOT, field.value);
        asking = null;
        resolve();
      },
      { once: true },
    );
    dialog.showModal();
  });
  return asking;
}

export const imagePath = (id) => `/images/${id.split("/").map(encodeURIComponent).join("/")}`;

// Shows a stored picture. With a key it has to be fetched, since an <img> cannot send headers.
export async function showImage(element, id) {
  if (!sessionStorage.getItem(KEY_SLOT)) {
    element.src = imagePath(id);
    return;
  }
  const response = await withKey(imagePath(id), {});
  if (!response.ok) {
    element.removeAttribute("src");
    return;
  }
  const url = URL.createObjectURL(await response.blob());
  element.onload = () => URL.revokeObjectURL(url);
  element.src = url;
}

const asJson = (body) => ({
  method: "POST",
  headers: { "Content-Type": "application/json" },
  body: JSON.stringify(body),
});

export const searchText = (text, k, captions) =>
  ask("search", `/search?${new URLSearchParams({ q: text, k, captions, explain: "true" })}`);
export const searchTerms = (terms, k, captions) => ask("search", "/search", asJson({ terms, k, captions, explain: true }));
export const searchLike = (id, k, captions) => ask("search", "/search", asJson({ image_id: id, k, captions, explain: true }));
export const ownWords = (id) => ask("own", `${imagePath(id)}/words?count=24`);
export const heatOf = (id, term) => ask("heat", `${imagePath(id)}/heat?${new URLSearchParams({ term })}`);
export const stats = () => ask("stats", "/stats");

export function searchPicture(file, k, captions) {
  const form = new FormData();
  form.set("image", file);
  form.set("k", k);
  form.set("captions", captions);
  form.set("explain", "true");
  return ask("search", "/search", { method: "POST", body: form });
}
