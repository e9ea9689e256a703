// How words look: the same word has the same colour everywhere on the page.

// Words for colours have their own.
const COLOURS = { red: 27, orange: 60, brown: 50, gold: 85, yellow: 100, green: 145, teal: 190, blue: 260, purple: 305, pink: 350 };

export function hueOf(word) {
  if (word in COLOURS) return COLOURS[word];
  let hash = 7;
  for (const letter of word) hash = (hash * 31 + letter.codePointAt(0)) >>> 0;
  // Steps of the golden angle keep neighbouring hashes apart.
  return Math.round((hash * 137.508) % 360);
}

// Pieces that continue a word are told with a hyphen: "##ing" is "-ing".
export const spoken = (word) => (word.startsWith("##") ? `-${word.slice(2)}` : word);

// Words that captions say stand in quotation marks, apart from those that the picture shows.
export const labelOf = ({ word, field }) => (field === "captions" ? `“${spoken(word)}”` : spoken(word));

export const percent = (share) => `${Math.round(100 * share)} %`;

export function captionOf(fields) {
  const found = fields.captions ?? fields.caption ?? fields.title ?? [];
  return [found].flat().filter((text) => typeof text === "string");
}
