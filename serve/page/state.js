// What is being looked for, and how it is written in the address of the page.
//   q=words        the text in the box
//   t=dog:.5,cat:-1,skateboard:skate:.8:##board:.4
//                  the lexicon when a person has changed it (or when it came from a picture): every word with its
//                  weight, a word that the vocabulary splits with its pieces, each with a weight of its own
//   scale=1.2      the weight of the heaviest word before words were moved, where no word weighs as much any more
//   like=id        more like this picture
//   captions=0.3   the share of captions in the score, where the index has them
//   k=48           how many pictures are asked for, where a person has asked for more
//   open=id        the picture shown large

export const FIRST_PICTURES = 24;
export const MOST_PICTURES = 192;
// A word in the query has some weight, however an address is written.
const LEAST_WEIGHT = 0.01;

export const state = {
  text: "",
  chips: [],
  scale: 1,
  edited: false,
  like: null,
  open: null,
  captions: 0,
  k: FIRST_PICTURES,
};

const escapeWord = (word) => word.replace(/[%:,]/g, (sign) => `%${sign.charCodeAt(0).toString(16)}`);
const readWord = (word) => word.replace(/%(25|3a|2c)/gi, (_, code) => String.fromCharCode(parseInt(code, 16)));
// What is searched is what the address says, so weights are rounded before both.
const rounded = (weight) => Number(weight.toPrecision(3));
const short = (weight) => String(rounded(weight)).replace(/^(-?)0\./, "$1.");

export function toAddress() {
  const parts = new URLSearchParams();
  if (state.text) parts.set("q", state.text);
  if (state.like) parts.set("like", state.like);
  if (state.edited) {
    parts.set("t", state.chips.map(writeChip).join(","));
    if (short(state.scale) !== short(heaviestOf(state.chips))) parts.set("scale", short(state.scale));
  }
  if (state.captions) parts.set("captions", short(state.captions));
  if (state.k !== FIRST_PICTURES) parts.set("k", state.k);
  if (state.open) parts.set("open", state.open);
  // Colons and commas need no escaping in an address; a person can read it without.
  const query = parts.toString().replace(/%(3A|2C)/g, decodeURIComponent);
  return query ? `/?${query}` : "/";
}

export function fromAddress(search) {
  const parts = new URLSearchParams(search);
  const [scale, k] = [Number(parts.get("scale")), Math.round(Number(parts.get("k")))];
  state.text = parts.get("q") ?? "";
  state.like = parts.get("like");
  state.open = parts.get("open");
  state.captions = Math.min(1, Math.max(0, Number(parts.get("captions")) || 0));
  state.k = Math.min(MOST_PICTURES, Math.max(FIRST_PICTURES, k || FIRST_PICTURES));
  state.edited = parts.has("t");
  state.chips = (parts.get("t") ?? "").split(",").map(readChip).filter(Boolean);
  state.scale = scale > 0 && Number.isFinite(scale) ? scale : heaviestOf(state.chips);
}

function writeChip({ word, terms, factor, sign }) {
  const weights = Object.entries(terms).map(([term, weight]) => [escapeWord(term), short(sign * weight * factor)]);
  const whole = weights.length === 1 && word in terms;
  return [...(whole ? [] : [escapeWord(word)]), ...weights.flat()].join(":");
}

// A word and its weight, or a word and then its pieces, each with its weight; null when it is neither.
function readChip(text) {
  const [word, ...rest] = text.split(":");
  const parts = rest.length === 1 ? [word, ...rest] : rest;
  const terms = parts.filter((_, place) => place % 2 === 0).map(readWord);
  const weights = parts.filter((_, place) => place % 2 === 1).map(Number);
  const complete = word && terms.every(Boolean) && terms.length === weights.length && weights.every(Number.isFinite);
  if (!complete || !terms.length) return null;
  const sizes = weights.map((weight) => Math.abs(weight) || LEAST_WEIGHT);
  const size = sizes.reduce((sum, one) => sum + one);
  const own = Object.fromEntries(terms.map((term, place) => [term, sizes[place]]));
  return chip(readWord(word), weights[0] < 0 ? -size : size, own);
}

// A chip is one word: its terms with their own weights, moved together by `factor`; `sign` -1 excludes it.
export function chip(word, weight, terms = null) {
  const size = Math.abs(weight) || LEAST_WEIGHT;
  return { word, size, terms: terms ?? { [word]: size }, factor: 1, sign: weight < 0 ? -1 : 1 };
}

export function chipsOf(query) {
  const weightOf = new Map(query.terms.map(({ term, weight }) => [term, weight]));
  return query.words.map(({ word, weight, terms }) => {
    const known = weight > 0 && terms.every((term) => weightOf.has(term));
    return chip(word, weight, known ? Object.fromEntries(terms.map((term) => [term, weightOf.get(term)])) : null);
  });
}

export function termsOf(chips) {
  const terms = {};
  for (const { terms: own, factor, sign, word, size } of chips) {
    if (sign < 0) terms[word] = -rounded(size * factor);
    else for (const [term, weight] of Object.entries(own)) terms[term] = (terms[term] ?? 0) + rounded(weight * factor);
  }
  return terms;
}

export const heaviestOf = (chips) =>
  Math.max(...chips.map(({ size, factor, sign }) => (sign > 0 ? size * factor : 0)), 0) || 1;

export const hasPositive = (chips) => chips.some(({ sign, factor }) => sign > 0 && factor > 0);

// The shares of one hit in the words of the chips: pieces of a split word are told as that word. What its captions say
// is told apart from what the picture shows.
export function sharesByChip(matched, chips) {
  const wordOf = new Map();
  for (const { word, terms, sign } of chips) {
    if (sign > 0) for (const term of Object.keys(terms)) wordOf.set(term, word);
  }
  const sums = { lexicon: new Map(), captions: new Map() };
  for (const { word, share, field } of matched ?? []) {
    const name = wordOf.get(word) ?? word;
    sums[field].set(name, (sums[field].get(name) ?? 0) + share);
  }
  return Object.entries(sums)
    .flatMap(([field, own]) => [...own].map(([word, share]) => ({ word, share, field })))
    .sort((one, other) => other.share - one.share);
}
