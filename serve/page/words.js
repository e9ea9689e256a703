// How words look: the same word has the same colour everywhere on the page.

export function hueOf(word) {
  let hash = 7;
  for (const letter of word) hash = (hash * 31 + letter.codePointAt(0)) >>> 0;
  // Steps of the golden angle keep neighbouring hashes apart.
  return Math.round((hash * 137.508) % 360);
}

// Pieces that continue a word are told with a hyphen: "##ing" is "-ing".
export const spoken = (word) => (word.startsWith("##") ? `-${word.slice(2)}` : word);

export const percent = (share) => `${Math.round(100 * share)} %`;

export function captionOf(fields) {
  const found = fields.captions ?? fields.caption ?? fields.title ?? [];
  return [found].flat().filter((text) => typeof text === "string");
}
