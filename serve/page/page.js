// Search as you type; everything a person can change is in the address.

import { Problem, giveUp, searchLike, searchPicture, searchTerms, searchText, stats } from "./api.js";
import { addWord, drawChips, fold, startScale } from "./chips.js";
import { clearHeat, openDetail } from "./detail.js";
import { drawGrid, walk } from "./grid.js";
import {
  FIRST_PICTURES,
  MOST_PICTURES,
  chipsOf,
  fromAddress,
  hasPositive,
  state,
  termsOf,
  toAddress,
} from "./state.js";
import { spoken } from "./words.js";

const $ = (id) => document.getElementById(id);
// Long enough to skip the letters of a fast typist, short enough to feel immediate.
const TYPING_PAUSE_MS = 90;
const SLOW_MS = 150;
let answer = null;
let corpus = null;
let slow = 0;

async function search({ keepChips = false } = {}) {
  const ask = request();
  if (!ask) {
    giveUp("search");
    stopWaiting();
    return showStart();
  }
  try {
    answer = await newest(ask);
  } catch (problem) {
    showProblem(problem);
    return;
  }
  const chips = state.edited ? state.chips : chipsOf(answer.query);
  // Chips on the page stay the ones that the query is made of: the next move of one must count.
  const kept = keepChips && namesOf(chips) === namesOf(state.chips);
  if (!state.edited && !kept) {
    state.chips = chips;
    startScale();
  }
  show({ keepChips: kept });
}

// An older search is given up: its answer never comes, so it could not end the waiting either.
async function newest(ask) {
  giveUp("search");
  clearTimeout(slow);
  slow = setTimeout(() => document.body.classList.add("busy"), SLOW_MS);
  try {
    return await ask();
  } finally {
    stopWaiting();
  }
}

function stopWaiting() {
  clearTimeout(slow);
  document.body.classList.remove("busy");
}

const namesOf = (chips) => chips.map(({ word }) => word).join(" ");

function request() {
  if (state.edited) {
    if (!hasPositive(state.chips)) return state.chips.length ? () => Promise.resolve(nothing()) : null;
    return () => searchTerms(termsOf(state.chips), state.k, state.captions);
  }
  if (state.like) return () => searchLike(state.like, state.k, state.captions);
  if (state.text.trim()) return () => searchText(state.text.trim(), state.k, state.captions);
  return null;
}

const nothing = () => ({
  hits: [],
  shards: { total: 0, ok: 0, timed_out: 0, failed: 0 },
  query: { terms: [], words: [] },
  generation: null,
  took_ms: { total: 0 },
});

function show({ keepChips = false } = {}) {
  if (!keepChips) drawChips($("chips"), changed);
  $("lexicon").hidden = false;
  drawGrid($("grid"), answer.hits, actions);
  const { hits, shards, took_ms: took, generation } = answer;
  const subject = state.like && !state.edited ? `like ${state.like} · ` : "";
  const all = corpus ? ` of ${corpus.documents.toLocaleString("en")}` : "";
  $("status").textContent = hits.length ? `${subject}${hits.length}${all} pictures · ${took.total.toFixed(1)} ms · generation ${generation}` : "";
  const lost = shards.total - shards.ok;
  warn(lost ? `${lost} of ${shards.total} shards did not answer, so pictures may be missing here.` : "");
  $("more").hidden = hits.length < state.k || state.k >= MOST_PICTURES;
  showEmpty(hits.length ? null : emptyText());
  const opened = answer.hits.find(({ id }) => id === state.open);
  if (opened) openDetail(opened, actions);
}

function emptyText() {
  const excluded = state.chips.filter(({ sign }) => sign < 0).map(({ word }) => spoken(word)).join(" or ");
  if (state.chips.length && !hasPositive(state.chips)) {
    return ["Only excluded words are left.", "Add a word that the pictures should show."];
  }
  const { ok, total } = answer.shards;
  if (ok < total) return emptyTextOfSome(ok, excluded);
  const hint = excluded
    ? `Every picture that shares a word also shows ${excluded}, which you excluded.`
    : "The search found nothing to go by: it lists a picture only when it can name a word that both have. " +
      "Try other words, or drop in a picture.";
  return ["No image shares a word with this query.", hint];
}

// What the pictures of missing shards share with the query is not known.
function emptyTextOfSome(ok, excluded) {
  const later = "Shards that did not answer may hold some: search again in a moment.";
  if (!ok) return ["No picture could be searched.", later];
  const without = excluded && ` without showing ${excluded}, which you excluded`;
  return [`No picture among those that could be searched shares a word with this query${without}.`, later];
}

function showEmpty(lines) {
  $("empty").hidden = !lines;
  if (!lines) return;
  const [title, ...rest] = lines.map((text, place) => Object.assign(document.createElement(place ? "p" : "h2"), { textContent: text }));
  $("empty").replaceChildren(title, ...rest);
}

function showStart() {
  answer = null;
  state.chips = [];
  $("lexicon").hidden = true;
  $("more").hidden = true;
  $("status").textContent = "";
  warn("");
  drawGrid($("grid"), [], actions);
  const count = corpus ? `${corpus.documents.toLocaleString("en")} pictures, ` : "";
  showEmpty([
    "What should the picture show?",
    `${count}found by the words they share with your query, and every hit says which.`,
    "Type, drop a picture anywhere, or paste one.",
  ]);
}

function showProblem(problem) {
  if (!(problem instanceof Problem)) throw problem;
  if (problem.status === 503 || problem.status === 0) {
    const seconds = problem.retryAfter || 1;
    warn(`${problem.message} Trying again in ${seconds} s.`);
    setTimeout(search, seconds * 1000);
  } else {
    warn(problem.message);
  }
}

function warn(text) {
  $("warning").textContent = text;
  $("warning").hidden = !text;
}

function remember(push) {
  const address = toAddress();
  if (address === location.pathname + location.search) return;
  history[push ? "pushState" : "replaceState"](null, "", address);
  document.title = state.text ? `${state.text} · LexLIP` : "LexLIP search";
}

// A chip was moved, negated, removed or added.
function changed({ keepChips = false } = {}) {
  state.edited = true;
  if (!state.chips.length) Object.assign(state, { edited: false, like: null, text: "" });
  $("words").value = state.text;
  remember(false);
  if (!keepChips) drawChips($("chips"), changed);
  search({ keepChips });
}

const actions = {
  open(id) {
    state.open = id;
    remember(true);
    openDetail(answer.hits.find((hit) => hit.id === id), actions);
  },
  like(id) {
    Object.assign(state, { like: id, text: "", edited: false, open: null, k: FIRST_PICTURES });
    $("words").value = "";
    $("detail").close();
    remember(true);
    scrollTo({ top: 0, behavior: "smooth" });
    search();
  },
  add(term) {
    addWord(term, changed);
  },
  step(way) {
    const here = answer.hits.findIndex(({ id }) => id === state.open);
    const there = answer.hits[here + way];
    if (!there) return;
    state.open = there.id;
    remember(false);
    openDetail(there, actions);
  },
};

async function searchWithPicture(file) {
  if (!file) return;
  try {
    answer = await newest(() => searchPicture(file, FIRST_PICTURES, state.captions));
  } catch (problem) {
    warn(problem.message);
    return;
  } finally {
    $("file").value = "";
  }
  // A picture does not fit into an address, but the words it says do.
  Object.assign(state, { text: "", like: null, edited: true, open: null, k: FIRST_PICTURES });
  state.chips = chipsOf(answer.query);
  startScale();
  $("words").value = "";
  remember(true);
  show();
}

function listen() {
  let pause = 0;
  $("words").addEventListener("input", () => {
    clearTimeout(pause);
    pause = setTimeout(() => {
      Object.assign(state, { text: $("words").value, like: null, edited: false, open: null, k: FIRST_PICTURES });
      remember(false);
      search();
    }, TYPING_PAUSE_MS);
  });
  $("search").addEventListener("submit", (event) => {
    event.preventDefault();
    remember(true);
    walk($("grid"), "ArrowDown") || search();
  });
  $("file").addEventListener("change", () => searchWithPicture($("file").files[0]));
  $("share").addEventListener("input", () => {
    state.captions = Number($("share").value);
    remember(false);
    search({ keepChips: true });
  });
  $("more").addEventListener("click", () => {
    state.k = Math.min(MOST_PICTURES, state.k * 2);
    remember(false);
    search({ keepChips: true });
  });
  $("detail").addEventListener("close", () => {
    clearHeat();
    const last = state.open;
    state.open = null;
    remember(false);
    document.querySelector(`.card[data-id="${CSS.escape(last ?? "")}"] .open`)?.focus();
  });
  $("detail").addEventListener("click", (event) => event.target === $("detail") && $("detail").close());
  addEventListener("popstate", restore);
  addEventListener("keydown", pressed);
  addEventListener("paste", (event) => searchWithPicture([...(event.clipboardData?.files ?? [])].find(({ type }) => type.startsWith("image/"))));
  listenToDrops();
}

function pressed(event) {
  if (event.metaKey || event.ctrlKey || event.altKey) return;
  const typing = event.target.matches("input, textarea");
  if ($("detail").open) {
    if (event.key === "ArrowLeft" || event.key === "ArrowRight") actions.step(event.key === "ArrowLeft" ? -1 : 1);
    else if (event.key === "m" && !typing) actions.like(state.open);
    return;
  }
  if (event.key === "/" && !typing) {
    event.preventDefault();
    $("words").select();
  } else if (event.key === "m" && !typing) {
    const card = document.activeElement?.closest(".card");
    if (card) actions.like(card.dataset.id);
  } else if (event.key.startsWith("Arrow") && (!typing || (event.target === $("words") && event.key === "ArrowDown"))) {
    if (walk($("grid"), event.key)) event.preventDefault();
  }
}

function listenToDrops() {
  let depth = 0;
  const holdsFile = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");
  addEventListener("dragenter", (event) => holdsFile(event) && ++depth && document.body.classList.add("dropping"));
  addEventListener("dragleave", (event) => holdsFile(event) && --depth <= 0 && document.body.classList.remove("dropping"));
  addEventListener("dragover", (event) => holdsFile(event) && event.preventDefault());
  addEventListener("drop", (event) => {
    depth = 0;
    document.body.classList.remove("dropping");
    if (!holdsFile(event)) return;
    event.preventDefault();
    searchWithPicture(event.dataTransfer.files[0]);
  });
}

function restore() {
  fromAddress(location.search);
  fold();
  $("words").value = state.text;
  $("share").value = state.captions;
  if (!state.open && $("detail").open) $("detail").close();
  search();
}

listen();
restore();
stats().then((known) => {
  corpus = known;
  $("captions-share").hidden = !known.captions;
  if (!answer && !request()) showStart();
}).catch(() => {});
if (matchMedia("(pointer: fine)").matches) $("words").focus();
