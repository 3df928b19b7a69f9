/**
 * What the files are that GigaChat has, by their ids.
 *
 * @module
 */
import type { Call } from "xrouter/provider";
import { RecentTexts } from "../../core/recent_texts.ts";
import { type FileKind, kindByName } from "./file_type.ts";

type Asking = Pick<Call, "settings" | "send" | "signal">;

/** Milliseconds that GigaChat is given to say what a file is. */
const lookUpMs = 2_000;

/** UTF-16 units of ids that are remembered of an account, and as many again: some thousand files. */
const idUnits = 64 * 1024;

/** By the settings of the account that has the files. */
const accounts = new WeakMap<object, RecentTexts<FileKind>>();

function kindsOf({ settings }: Pick<Call, "settings">): RecentTexts<FileKind> {
  const kinds = accounts.get(settings) ?? new RecentTexts<FileKind>(idUnits);
  accounts.set(settings, kinds);
  return kinds;
}

/** Remembers what a file is. */
export function rememberKind(id: string, kind: FileKind, call: Pick<Call, "settings">): void {
  kindsOf(call).set(id, kind);
}

/** What a file is, as far as that is remembered. */
export function knownKind(id: string, call: Pick<Call, "settings">): FileKind | undefined {
  return kindsOf(call).get(id);
}

/**
 * What a file is by the name that GigaChat has of it; asked once. Where GigaChat does not say it, it
 * may be a document: what is wrong with the file it tells the chat.
 *
 * @throws The call's reason to end.
 */
export async function lookUpKind(id: string, call: Asking): Promise<FileKind> {
  const { send, signal } = call;
  try {
    const response = await send(`/files/${encodeURIComponent(id)}`, {
      signal: AbortSignal.any([signal, AbortSignal.timeout(lookUpMs)]),
    });
    const { filename } = await response.json() as { filename?: unknown };
    if (!response.ok || typeof filename !== "string") return "document";
    const kind = kindByName(filename);
    rememberKind(id, kind, call);
    return kind;
  } catch {
    signal.throwIfAborted();
    return "document";
  }
}
