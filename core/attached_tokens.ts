/**
 * Tokens of what a message holds beside text: an estimate, so that holds cover it.
 *
 * @module
 */

/** OpenAI's price in tokens of a 1024 × 1024 image in high detail: 85, and 170 for each of 4 tiles. */
const perImage = 765;

/**
 * Bytes of a recording for each token: ten tokens a second, as OpenAI counts what users say
 * ("Managing costs" of its Realtime API), of speech in as few bytes as there are, 8 kHz at 16 bits in
 * a WAV file and 32 kbit/s otherwise.
 */
const audioBytes = { wav: 1_600, other: 400 };

/**
 * Bytes of a file for each token: 4 of plain text; otherwise 3,000 tokens a page, Anthropic's upper
 * figure for PDF, of 48 kB. Files of more bytes have scans in them, not more text.
 */
const fileBytes = { text: 4, other: 16 };
const mostOfFile = 50_000;

type Attached = Readonly<Record<string, unknown>>;

/** Estimated tokens of an image, of audio or of a file; `undefined` for a part of another type. */
export function tokensOfAttached(
  { type, input_audio, file }: Attached,
): number | undefined {
  if (type === "image_url") return perImage;
  if (type === "input_audio") return tokensOfAudio((input_audio ?? {}) as Attached);
  return type === "file" ? tokensOfFile((file ?? {}) as Attached) : undefined;
}

function tokensOfAudio({ data, format }: Attached): number {
  return Math.ceil(bytesOf(data) / (format === "wav" ? audioBytes.wav : audioBytes.other));
}

function tokensOfFile({ file_data: data }: Attached): number {
  const media = typeof data === "string" ? /^data:(text|image)\//i.exec(data)?.[1] : undefined;
  if (media?.toLowerCase() === "image") return perImage;
  if (media !== undefined) return Math.ceil(bytesOf(data) / fileBytes.text);
  return Math.min(mostOfFile, Math.ceil(bytesOf(data) / fileBytes.other));
}

/** Bytes of base64, of a data URL too. */
function bytesOf(data: unknown): number {
  return typeof data === "string" ? data.length * 3 / 4 : 0;
}
