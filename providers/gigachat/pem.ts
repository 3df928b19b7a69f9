/**
 * Certificates and keys from PEM files.
 *
 * @module
 */
import { createPrivateKey, type KeyObject, X509Certificate } from "node:crypto";
import { z } from "zod";

const certificateBlock = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;

/** A file's path on the way in, what `read` makes of its text on the way out. */
function pemFile<Content>(read: (text: string) => Content) {
  return z.string().transform((path, context): Content => {
    try {
      return read(Deno.readTextFileSync(path));
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      context.issues.push({ code: "custom", input: path, message: `cannot be used: ${reason}` });
      return z.NEVER;
    }
  });
}

/** A setting that names a file of certificates; its value is the certificates, each in PEM. */
export const certificateFile = pemFile(readCertificates);

/** A setting that names a file with a private key; its value is the file's text. */
export const keyFile = pemFile((text) => {
  if (!/-----BEGIN [A-Z ]*PRIVATE KEY-----/.test(text)) {
    throw new Error("the file holds no private key in PEM");
  }
  return text;
});

/** The certificates of a PEM text; a bad one would be skipped silently by the HTTP client. */
function readCertificates(text: string): string[] {
  const blocks = text.match(certificateBlock);
  if (blocks === null) throw new Error("the file holds no PEM certificate");
  for (const block of blocks) new X509Certificate(block);
  return blocks;
}

/** What a client shows who it is with. */
export interface KeyPair {
  /** The certificate, then those that lead to its authority, in PEM. */
  readonly cert: string;
  /** The private key in PEM, without a password. */
  readonly key: string;
}

/**
 * A client's certificate together with its private key.
 *
 * @param certificates The certificate, then those that lead to its authority.
 * @param key The private key.
 * @param passphrase The key's password, if it has one.
 * @throws {Error} when the key cannot be read or belongs to another certificate.
 */
export function keyPair(
  certificates: readonly string[],
  key: string,
  passphrase: string | undefined,
): KeyPair {
  let opened: KeyObject;
  try {
    opened = createPrivateKey({ key, ...(passphrase !== undefined && { passphrase }) });
  } catch {
    throw new Error(
      !/ENCRYPTED/.test(key)
        ? "holds a private key that cannot be read"
        : passphrase === undefined
        ? 'holds a private key with a password. Set GIGACHAT_KEY_PASSWORD, or "keyPassword" of the account'
        : "holds a private key that the password of the key does not open",
    );
  }
  if (!new X509Certificate(certificates[0]!).checkPrivateKey(opened)) {
    throw new Error("holds the private key of another certificate");
  }
  return {
    cert: certificates.join("\n"),
    key: String(opened.export({ type: "pkcs8", format: "pem" })),
  };
}

/** When a certificate ends, in milliseconds since 1970. */
export function endOf(certificate: string): number {
  return Date.parse(new X509Certificate(certificate).validTo);
}
