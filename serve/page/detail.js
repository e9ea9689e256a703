// One picture large: why it was found, its own top words, and where on it a word is.

import { heatOf, ownWords, showImage } from "./api.js";
import { sharesByChip, state } from "./state.js";
import { captionOf, hueOf, labelOf, percent, spoken } from "./words.js";

const $ = (id) => document.getElementById(id);
let shown = null;
let heated = null;

export function openDetail(hit, actions) {
  const dialog = $("detail");
  clearHeat();
  shown = hit.id;
  $("name").textContent = hit.id;
  $("picture").alt = captionOf(hit.fields)[0] ?? hit.id;
  showImage($("picture"), hit.id);
  $("captions").replaceChildren(...captionOf(hit.fields).map((text) => make("p", "", text)));
  drawMatched(hit, actions);
  drawOwn(hit.id, actions);
  $("like").onclick = () => actions.like(hit.id);
  $("previous").onclick = () => actions.step(-1);
  $("next").onclick = () => actions.step(1);
  $("close").onclick = () => dialog.close();
  if (!dialog.open) dialog.showModal();
  dialog.scrollTop = 0;
}

function drawMatched(hit, actions) {
  const shares = sharesByChip(hit.matched, state.chips);
  $("matched-title").hidden = !shares.length;
  $("matched").replaceChildren(
    ...shares.map((one) => {
      const row = make("li", "");
      const said = one.field === "captions";
      const bar = make(said ? "div" : "button", "share");
      bar.style.cssText = `--hue:${hueOf(one.word)};--part:${100 * one.share}%`;
      bar.title = said ? "Its captions say so" : "Show where on the picture";
      bar.append(make("span", "", labelOf(one)), make("small", "", percent(one.share)));
      if (!said) {
        bar.type = "button";
        bar.addEventListener("click", () => toggleHeat(hit.id, one.word, bar));
      }
      row.append(bar);
      return row;
    }),
  );
}

async function drawOwn(id, actions) {
  $("own").replaceChildren();
  const answer = await ownWords(id).catch(() => null);
  if (!answer || shown !== id) return;
  const heaviest = answer.terms[0]?.weight ?? 1;
  $("own").replaceChildren(
    ...answer.terms.map(({ term, weight }) => {
      const word = make("span", "own-word");
      word.style.cssText = `--hue:${hueOf(term)};--part:${Math.round((100 * weight) / heaviest)}%`;
      const where = make("button", "where", spoken(term));
      where.type = "button";
      where.title = `${spoken(term)} ${weight.toFixed(3)} · show where on the picture`;
      where.addEventListener("click", () => toggleHeat(id, term, where));
      const add = make("button", "add", "+");
      add.type = "button";
      add.title = `Add ${spoken(term)} to the query`;
      add.setAttribute("aria-label", add.title);
      add.addEventListener("click", () => actions.add(term));
      word.append(where, add);
      return word;
    }),
  );
}

async function toggleHeat(id, word, control) {
  if (heated === control) return clearHeat();
  clearHeat();
  heated = control;
  control.setAttribute("aria-pressed", "true");
  $("heat-note").textContent = `Looking for “${spoken(word)}” …`;
  try {
    const answer = await heatOf(id, word);
    if (heated !== control || shown !== id) return;
    drawHeat(answer, hueOf(word));
    const empty = answer.values.every((row) => row.every((value) => value === 0));
    $("heat-note").textContent = empty ? `No part of the picture says “${spoken(word)}” by itself.` : `Where “${spoken(word)}” comes from`;
  } catch (problem) {
    $("heat-note").textContent = problem.message;
  }
}

// One pixel per patch, scaled up smoothly by the browser; a ring marks the strongest patch.
function drawHeat({ rows, columns, values, peak }, hue) {
  const small = new OffscreenCanvas(columns, rows);
  const pixels = small.getContext("2d");
  values.forEach((row, y) =>
    row.forEach((value, x) => {
      pixels.fillStyle = `hsl(${hue} 95% 58% / ${0.85 * value ** 1.5})`;
      pixels.fillRect(x, y, 1, 1);
    }),
  );
  const canvas = $("heat");
  const box = $("picture").getBoundingClientRect();
  canvas.width = Math.round(box.width * devicePixelRatio);
  canvas.height = Math.round(box.height * devicePixelRatio);
  const large = canvas.getContext("2d");
  large.fillStyle = "rgb(10 12 20 / .45)";
  large.fillRect(0, 0, canvas.width, canvas.height);
  large.imageSmoothingQuality = "high";
  large.drawImage(small, 0, 0, canvas.width, canvas.height);
  large.lineWidth = 2 * devicePixelRatio;
  large.strokeStyle = "white";
  const [patchWidth, patchHeight] = [canvas.width / columns, canvas.height / rows];
  large.strokeRect(peak[1] * patchWidth, peak[0] * patchHeight, patchWidth, patchHeight);
  canvas.classList.add("on");
}

export function clearHeat() {
  heated?.removeAttribute("aria-pressed");
  heated = null;
  $("heat").classList.remove("on");
  $("heat-note").textContent = "";
}

function make(kind, className, text) {
  const element = document.createElement(kind);
  if (className) element.className = className;
  if (text !== undefined) element.textContent = text;
  return element;
}
