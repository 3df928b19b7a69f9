/**
 * Every instrument: its name, unit, meaning and labels, declared once for both sinks.
 *
 * Names, labels and buckets that begin with `gen_ai.` are those of OpenTelemetry's semantic
 * conventions for generative AI. `error.type` is a code of the error table, and absent where nothing
 * failed.
 *
 * @module
 */
import type { LevelOf, Sinks } from "./sinks.ts";

/** The labels of all that concerns one model. */
const model = ["gen_ai.operation.name", "gen_ai.provider.name", "gen_ai.request.model"] as const;

/** The labels of a model's circuit. */
const circuit = ["gen_ai.provider.name", "gen_ai.request.model"] as const;

/** Tokens: powers of four, as the conventions set them. */
const tokenBuckets = Array.from({ length: 14 }, (_, power) => 4 ** power);

/** Seconds: 10 ms doubled thirteen times, as the conventions set them. */
const secondBuckets = Array.from({ length: 14 }, (_, power) => 2 ** power / 100);

/** Seconds that the event loop may be late. */
const delayBuckets = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5];

/** What is measured. */
export type Instruments = ReturnType<typeof createInstruments>;

/** What is read when somebody asks for it. */
export interface Levels {
  /** Requests under way. */
  active: () => number;
  /** What prepaid balances could not pay, in millionths of the currency. */
  loss: () => Promise<number>;
  /** What accounts have spent beyond their limits that renew, in the same. */
  overLimit: () => Promise<number>;
  /** How the circuits of models stand: 0 closed, 1 half-open, 2 open. */
  circuits: () => Iterable<LevelOf<typeof circuit>>;
}

/**
 * Opens every instrument.
 *
 * @param sinks Where they write.
 */
export function createInstruments(sinks: Sinks, { active, loss, overLimit, circuits }: Levels) {
  sinks.gauge({
    name: "xrouter.active_requests",
    unit: "{request}",
    description: "Requests that were let in and have not ended",
  }, active);
  sinks.gauge({
    name: "xrouter.loss",
    unit: "millionths",
    description:
      "What providers used beyond prepaid balances, or without an answer in time, in millionths of the currency: the operator's loss",
  }, loss);
  sinks.gauge({
    name: "xrouter.over_limit",
    unit: "millionths",
    description:
      "What keys and owners have spent beyond their limits of this day, week or month, in millionths of the currency",
  }, overLimit);
  sinks.levels({
    name: "xrouter.circuit.state",
    unit: "{state}",
    description:
      "Whether a model is asked, over all accounts: 0 yes, 1 by one call that tries, 2 no",
    labels: circuit,
  }, circuits);
  return {
    circuitOpenings: sinks.counter({
      name: "xrouter.circuit.openings",
      unit: "{opening}",
      description: "How often a model that failed or was slow came to be asked no more, by account",
      labels: circuit,
    }),
    requests: sinks.counter({
      name: "xrouter.requests",
      unit: "{request}",
      description: "Requests that ended, by how they ended",
      labels: ["state", "http.response.status_code", "error.type"],
    }),
    attempts: sinks.counter({
      name: "xrouter.attempts",
      unit: "{attempt}",
      description: "Tries to get an answer from a provider",
      labels: ["gen_ai.provider.name", "error.type"],
    }),
    duration: sinks.histogram({
      name: "gen_ai.server.request.duration",
      unit: "s",
      description: "Time from the request to the last byte, all tries together",
      labels: [...model, "error.type"],
      buckets: secondBuckets,
    }),
    firstToken: sinks.histogram({
      name: "gen_ai.server.time_to_first_token",
      unit: "s",
      description: "Time from the request to the first chunk of a stream, all tries together",
      labels: model,
      buckets: secondBuckets,
    }),
    tokens: sinks.histogram({
      name: "gen_ai.client.token.usage",
      unit: "{token}",
      description: "Tokens of an answered request; those of the input include cached ones",
      labels: [...model, "gen_ai.token.type"],
      buckets: tokenBuckets,
    }),
    cachedTokens: sinks.counter({
      name: "xrouter.cached_tokens",
      unit: "{token}",
      description: "Tokens of the input that came from the provider's cache",
      labels: model,
    }),
    cost: sinks.counter({
      name: "xrouter.cost",
      unit: "millionths",
      description: "Cost of answers in millionths of the currency, as it is recorded",
      labels: [...model, "currency"],
    }),
    estimatedAnswers: sinks.counter({
      name: "xrouter.estimated_answers",
      unit: "{answer}",
      description:
        "Answers whose tokens were counted here because the provider did not report them",
      labels: model,
    }),
    unpricedAnswers: sinks.counter({
      name: "xrouter.unpriced_answers",
      unit: "{answer}",
      description: "Answers whose cost is unknown because the model has no price in the currency",
      labels: model,
    }),
    eventLoopDelay: sinks.histogram({
      name: "xrouter.event_loop.delay",
      unit: "s",
      description: "How late the event loop runs what is due",
      labels: [],
      buckets: delayBuckets,
    }),
  };
}
