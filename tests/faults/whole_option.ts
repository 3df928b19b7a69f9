/** Reads a whole number above 0 from the command line; what is none ends the program. */
export function wholeOf(name: string, text: string): number {
  if (/^[1-9]\d{0,6}$/.test(text)) return Number(text);
  console.error(`--${name} must be a whole number above 0, not "${text}"`);
  Deno.exit(2);
}
