// The query's lexicon as chips: drag or use the arrow keys to weigh a word, − to exclude it, × to remove it, + to add one.

import { chip, heaviestOf, state } from "./state.js";
import { hueOf, spoken } from "./words.js";

const SHOWN = 14;
const STEP = 0.05;
// A full chip weighs this many times the query's heaviest word, so that every word can be made heavier.
const HEADROOM = 1.5;
const LEAST = 0.02;
let expanded = false;

// Called with every new query: the scale stays while its chips are moved.
export function startScale() {
  state.scale = heaviestOf(state.chips);
  fold();
}

export function fold() {
  expanded = false;
}

export function drawChips(container, onChange) {
  const shown = expanded ? state.chips : state.chips.filter((one, place) => place < SHOWN || one.sign < 0);
  const focused = document.activeElement?.closest(".chip")?.dataset.word;
  container.replaceChildren(
    ...shown.map((one) => drawChip(one, onChange)),
    ...(shown.length < state.chips.length ? [moreButton(container, state.chips.length - shown.length, onChange)] : []),
    adder(onChange),
  );
  if (focused) [...container.querySelectorAll(".chip")].find((one) => one.dataset.word === focused)?.focus();
}

function drawChip(one, onChange) {
  const element = document.createElement("div");
  element.className = "chip";
  element.tabIndex = 0;
  element.dataset.word = one.word;
  element.style.setProperty("--hue", hueOf(one.word));
  element.setAttribute("role", "slider");
  element.setAttribute("aria-label", `weight of ${spoken(one.word)}`);
  element.setAttribute("aria-valuemin", -100);
  element.setAttribute("aria-valuemax", 100);
  element.title = "Drag sideways to weigh · − excludes · × removes";
  const sign = button("sign", "−", "Exclude pictures with this word", () => negate(one, onChange));
  const word = document.createElement("span");
  word.className = "word";
  word.textContent = spoken(one.word);
  const remove = button("remove", "×", "Remove this word", () => removeChip(one, onChange));
  element.append(sign, word, remove);
  refresh(element, one);
  element.addEventListener("pointerdown", (event) => drag(event, element, one, onChange));
  element.addEventListener("keydown", (event) => press(event, one, onChange));
  return element;
}

function refresh(element, one) {
  const part = partOf(one);
  element.style.setProperty("--part", `${Math.round(100 * part)}%`);
  element.classList.toggle("excluded", one.sign < 0);
  element.setAttribute("aria-valuenow", Math.round(100 * part) * one.sign);
  element.setAttribute("aria-valuetext", one.sign < 0 ? "excluded" : `${Math.round(100 * part)} percent`);
}

const fullWeight = () => HEADROOM * state.scale;

const partOf = (one) => Math.min(1, (one.size * one.factor) / fullWeight());

function setPart(one, part) {
  one.factor = (Math.min(1, Math.max(LEAST, part)) * fullWeight()) / one.size;
}

function drag(event, element, one, onChange) {
  if (event.button !== 0 || event.target.closest("button")) return;
  element.setPointerCapture(event.pointerId);
  const start = { x: event.clientX, part: partOf(one) };
  const move = (moved) => {
    const way = moved.clientX - start.x;
    if (Math.abs(way) < 3) return;
    setPart(one, start.part + way / element.clientWidth);
    refresh(element, one);
    onChange({ keepChips: true });
  };
  const stop = () => {
    element.removeEventListener("pointermove", move);
    element.removeEventListener("pointerup", stop);
    element.removeEventListener("pointercancel", stop);
  };
  element.addEventListener("pointermove", move);
  element.addEventListener("pointerup", stop);
  element.addEventListener("pointercancel", stop);
}

function press(event, one, onChange) {
  if (event.target.closest("button")) return;
  const step = { ArrowRight: STEP, ArrowUp: STEP, ArrowLeft: -STEP, ArrowDown: -STEP }[event.key];
  if (step) {
    setPart(one, partOf(one) + step);
    stopAfter(event, () => onChange());
  } else if (event.key === "-") {
    stopAfter(event, () => negate(one, onChange));
  } else if (event.key === "Delete" || event.key === "Backspace") {
    stopAfter(event, () => removeChip(one, onChange));
  }
}

function stopAfter(event, action) {
  event.preventDefault();
  event.stopPropagation();
  action();
}

function negate(one, onChange) {
  one.sign = -one.sign;
  onChange();
}

function removeChip(one, onChange) {
  state.chips = state.chips.filter((other) => other !== one);
  onChange();
}

export function addWord(word, onChange) {
  const wanted = word.trim().toLowerCase();
  if (!wanted) return;
  const excluded = wanted.startsWith("-") && !wanted.startsWith("##");
  const name = excluded ? wanted.slice(1).trim() : wanted;
  if (!name) return;
  const added = chip(name, excluded ? -state.scale : state.scale);
  state.chips = [added, ...state.chips.filter((other) => other.word !== name)];
  onChange();
}

function adder(onChange) {
  const form = document.createElement("form");
  form.className = "adder";
  const field = document.createElement("input");
  Object.assign(field, { placeholder: "+ word", maxLength: 100, spellcheck: false, autocomplete: "off" });
  field.setAttribute("aria-label", "Add a word; start with − to exclude it");
  field.title = "Add a word; start with − to exclude it";
  form.append(field);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    addWord(field.value, onChange);
    document.querySelector(".adder input")?.focus();
  });
  return form;
}

function moreButton(container, count, onChange) {
  const more = button("unfold", `${count} lighter words`, "Show all words of the query", () => {
    expanded = true;
    drawChips(container, onChange);
  });
  return more;
}

function button(kind, text, title, action) {
  const element = document.createElement("button");
  Object.assign(element, { type: "button", className: kind, textContent: text, title });
  element.setAttribute("aria-label", title);
  element.addEventListener("click", action);
  return element;
}
