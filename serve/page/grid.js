// The pictures found: a grid whose cards keep their identity, so that a new ranking moves them instead of redrawing.

import { showImage } from "./api.js";
import { sharesByChip, state } from "./state.js";
import { captionOf, hueOf, labelOf, percent } from "./words.js";

const WORDS_SHOWN = 3;
const cards = new Map();
const calm = matchMedia("(prefers-reduced-motion: reduce)");

export function drawGrid(container, hits, actions) {
  const before = new Map([...cards].filter(([, card]) => card.isConnected).map(([id, card]) => [id, card.getBoundingClientRect()]));
  const wanted = hits.map((hit) => {
    const card = cards.get(hit.id) ?? makeCard(hit, actions);
    drawShares(card.querySelector(".shares"), hit);
    return card;
  });
  cards.clear();
  hits.forEach((hit, place) => cards.set(hit.id, wanted[place]));
  container.replaceChildren(...wanted);
  if (!calm.matches) for (const [id, card] of cards) glide(card, before.get(id));
}

function glide(card, from) {
  const to = card.getBoundingClientRect();
  if (to.top > innerHeight + 200) return;
  if (!from) {
    card.animate([{ opacity: 0, transform: "scale(.96)" }, { opacity: 1, transform: "none" }], { duration: 160, easing: "ease-out" });
  } else if (from.left !== to.left || from.top !== to.top) {
    const start = `translate(${from.left - to.left}px, ${from.top - to.top}px)`;
    card.animate([{ transform: start }, { transform: "none" }], { duration: 260, easing: "cubic-bezier(.2,.8,.2,1)" });
  }
}

function makeCard(hit, actions) {
  const card = document.createElement("article");
  card.className = "card";
  card.setAttribute("role", "listitem");
  card.dataset.id = hit.id;
  const open = document.createElement("button");
  open.type = "button";
  open.className = "open";
  const picture = document.createElement("img");
  picture.loading = "lazy";
  picture.decoding = "async";
  picture.alt = captionOf(hit.fields)[0] ?? hit.id;
  picture.addEventListener("error", () => card.classList.add("pictureless"));
  open.setAttribute("aria-label", picture.alt);
  open.append(picture);
  open.addEventListener("click", () => actions.open(hit.id));
  const like = document.createElement("button");
  Object.assign(like, { type: "button", className: "like", title: "More like this", textContent: "≈" });
  like.setAttribute("aria-label", "More like this");
  like.addEventListener("click", () => actions.like(hit.id));
  const shares = document.createElement("div");
  shares.className = "shares";
  card.append(open, like, shares);
  showImage(picture, hit.id);
  return card;
}

// One bar split by word, and the largest words under it.
function drawShares(container, hit) {
  const shares = sharesByChip(hit.matched, state.chips);
  const bar = document.createElement("div");
  bar.className = "split";
  for (const one of shares) {
    const part = document.createElement("i");
    part.className = one.field;
    part.style.cssText = `--hue:${hueOf(one.word)};flex:${one.share}`;
    part.title = `${labelOf(one)} ${percent(one.share)}`;
    bar.append(part);
  }
  const words = document.createElement("p");
  for (const one of shares.slice(0, WORDS_SHOWN)) {
    const told = document.createElement("span");
    told.style.setProperty("--hue", hueOf(one.word));
    told.textContent = labelOf(one);
    const size = document.createElement("small");
    size.textContent = percent(one.share);
    told.append(" ", size);
    words.append(told);
  }
  container.replaceChildren(bar, words);
}

// Arrow keys walk the grid as it is laid out.
export function walk(container, key) {
  const all = [...container.querySelectorAll(".open")];
  const here = all.indexOf(document.activeElement);
  if (!all.length) return false;
  if (here < 0) {
    if (key !== "ArrowDown") return false;
    all[0].focus();
    return true;
  }
  const columns = getComputedStyle(container).gridTemplateColumns.split(" ").length;
  const step = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: columns, ArrowUp: -columns }[key];
  if (!step) return false;
  if (here + step < 0) document.querySelector("#words").focus();
  else all[Math.min(all.length - 1, here + step)].focus();
  return true;
}
