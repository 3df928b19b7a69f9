/**
 * What `GET /v1/providers/status` can be asked.
 *
 * @module
 */
import { z } from "zod";

const text = z.string({ error: "must be given once" }).min(1, { error: "must not be empty" })
  .max(256, { error: "must have at most 256 characters" });

const limitError = "must be a whole number from 1 to 1000";

const shape = {
  history: z.union([z.iso.date(), z.iso.datetime({ offset: true })], {
    error: "must be a day such as 2026-12-01, or a time such as 2026-12-01T20:00:00Z",
  }).transform((since) => Date.parse(since)).optional(),
  provider: text.optional(),
  model: text.optional(),
  snapshots: z.literal("1", { error: "must be 1 for every minute, or absent for changes" })
    .optional(),
  after: z.uuid({ error: 'must be the "next" of the page before' }).optional(),
  limit: z.string({ error: limitError }).regex(/^([1-9]\d{0,2}|1000)$/, { error: limitError })
    .transform(Number).optional(),
};

/** The schema of the parameters. All others belong to `history`. */
export const statusQuery = z.strictObject(shape, {
  error: ({ code }) =>
    code === "unrecognized_keys"
      ? `is no parameter. There are: ${Object.keys(shape).join(", ")}`
      : undefined,
}).superRefine(({ history, ...rest }, context) => {
  const [param] = Object.entries(rest).find(([, value]) => value !== undefined) ?? [];
  if (history !== undefined || param === undefined) return;
  const message = "asks about the history. Add history= with the day or time to begin with";
  context.addIssue({ code: "custom", path: [param], message });
});
