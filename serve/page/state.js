// What is being looked for, and how it is written in the address of the page.
//   q=words        the text in the box
//   t=dog:.5,cat:-1  the lexicon when a person has changed it (or when it came from a picture)
//   like=id        more like this picture
//   captions=0.3   the share of captions in the score, where the index has them
//   open=id        the picture shown large

export const FIRST_PICTURES = 24;
export const MOST_PICTURES = 192;

export const state = { text: "", chips: [], edited: false, like: null, open: null, captions: 0, k: FIRST_PICTURES };

const escapeWord = (word) => word.replace(/[%:,]/g, (sign) => `%${sign.charCodeAt(0).toString(16)}`);
const readWord = (word) => word.replace(/%(25|3a|2c)/gi, (_, code) => String.fromCharCode(parseInt(code, 16)));
const short = (weight) => String(Number(weight.toPrecision(3))).replace("0.", ".");

export function toAddress() {
  const parts = new URLSearchParams();
  if (state.text) parts.set("q", state.text);
  if (state.like) parts.set("like", state.like);
  if (state.edited) {
    const terms = Object.entries(termsOf(state.chips)).map(([term, weight]) => `${escapeWord(term)}:${short(weight)}`);
    parts.set("t", terms.join(","));
  }
  if (state.captions) parts.set("captions", short(state.captions));
  if (state.open) parts.set("open", state.open);
  const query = parts.toString();
  return query ? `/?${query}` : "/";
}

export function fromAddress(search) {
  const parts = new URLSearchParams(search);
  state.text = parts.get("q") ?? "";
  state.like = parts.get("like");
  state.open = parts.get("open");
  state.captions = Math.min(1, Math.max(0, Number(parts.get("captions")) || 0));
  state.k = FIRST_PICTURES;
  state.edited = parts.has("t");
  state.chips = (parts.get("t") ?? "")
    .split(",")
    .map((part) => part.split(":"))
    .filter(([word, weight]) => word && Number.isFinite(Number(weight)))
    .map(([word, weight]) => chip(readWord(word), Number(weight)));
}

// A chip is one word: its terms with their own weights, moved together by `factor`; `sign` -1 excludes it.
export function chip(word, weight, terms = null) {
  const size = Math.abs(weight) || 0.01;
  return { word, size, terms: terms ?? { [word]: size }, factor: 1, sign: weight < 0 ? -1 : 1 };
}

export function chipsOf(query) {
  const weightOf = new Map(query.terms.map(({ term, weight }) => [term, weight]));
  return query.words.map(({ word, weight, terms }) => {
    const known = terms.every((term) => weightOf.has(term));
    return chip(word, weight, weight > 0 && known ? Object.fromEntries(terms.map((term) => [term, weightOf.get(term)])) : null);
  });
}

export function termsOf(chips) {
  const terms = {};
  for (const { terms: own, factor, sign, word, size } of chips) {
    if (sign < 0) terms[word] = -Number((size * factor).toPrecision(3));
    else for (const [term, weight] of Object.entries(own)) terms[term] = (terms[term] ?? 0) + weight * factor;
  }
  return terms;
}

export const hasPositive = (chips) => chips.some(({ sign, factor }) => sign > 0 && factor > 0);

// The shares of one hit in the words of the chips: pieces of a split word are told as that word. What its captions say
// is told apart from what the picture shows.
export function sharesByChip(matched, chips) {
  const wordOf = new Map();
  for (const { word, terms } of chips) for (const term of Object.keys(terms)) wordOf.set(term, word);
  const sums = { lexicon: new Map(), captions: new Map() };
  for (const { word, share, field } of matched ?? []) {
    const name = wordOf.get(word) ?? word;
    sums[field].set(name, (sums[field].get(name) ?? 0) + share);
  }
  return Object.entries(sums)
    .flatMap(([field, own]) => [...own].map(([word, share]) => ({ word, share, field })))
    .sort((one, other) => other.share - one.share);
}
