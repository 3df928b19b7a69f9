/**
 * What people are told, in words of their language.
 *
 * @module
 */
import { timeOrderedId } from "../../core/time_ordered_id.ts";

/** The languages of texts. */
export const languages = ["en", "ru"] as const;

/** One of {@linkcode languages}. */
export type Language = typeof languages[number];

/** What can be wrong. */
export type Condition = "provider" | "error-rate" | "credit-low" | "credit-used-up" | "readiness";

/** What is known of it, for the text and for programs. Never a secret, never a vendor's words. */
export type Facts = Readonly<Record<string, string | number>>;

/** One message. */
export interface Alert {
  /** Unique: a message that arrives twice has it twice. */
  readonly id: string;
  /** `provider_down`, `credit_low` and so on. */
  readonly event: string;
  /** What it is about: a model, an account; empty where there is only one such thing. */
  readonly subject: string;
  /** ISO 8601, in UTC. */
  readonly at: string;
  /** One line for people. */
  readonly text: string;
  /** What the text says, for programs. */
  readonly facts: Facts;
}

type Words = (subject: string, facts: Facts) => string;
type Happening = { readonly event: string } & Readonly<Record<Language, Words>>;

/** How each condition begins, and how it ends where people are told. */
const happenings: Readonly<Record<Condition, { begins: Happening; ends?: Happening }>> = {
  provider: {
    begins: {
      event: "provider_down",
      en: (name, { calls, failed, slow }) =>
        Number(failed) * 2 >= Number(calls)
          ? `${name} is down: ${failed} of its last ${calls} calls failed`
          : `${name} is down: ${slow} of its last ${calls} calls were slow to begin`,
      ru: (name, { calls, failed, slow }) =>
        Number(failed) * 2 >= Number(calls)
          ? `${name} не работает: из последних вызовов (${calls}) не удались ${failed}`
          : `${name} не работает: из последних вызовов (${calls}) ${slow} слишком долго ждали начала ответа`,
    },
    ends: {
      event: "provider_up",
      en: (name) => `${name} is up again`,
      ru: (name) => `${name} снова работает`,
    },
  },
  "error-rate": {
    begins: {
      event: "error_rate_high",
      en: (_, { percent, failed, requests, minutes }) =>
        `${percent} % of requests failed within ${minutes} min (${failed} of ${requests})`,
      ru: (_, { percent, failed, requests, minutes }) =>
        `${percent} % запросов за ${minutes} мин не удались (${failed} из ${requests})`,
    },
    ends: {
      event: "error_rate_normal",
      en: (_, { percent, minutes }) =>
        `requests succeed again: ${percent} % failed within ${minutes} min`,
      ru: (_, { percent, minutes }) =>
        `запросы снова выполняются: за ${minutes} мин не удались ${percent} %`,
    },
  },
  "credit-low": {
    begins: {
      event: "credit_low",
      en: (_, { holder, used, left }) =>
        `${holder} has used ${used} % of the credit, ${left} is left`,
      ru: (_, { holder, used, left }) =>
        `${holder}: израсходовано ${used} % кредита, осталось ${left}`,
    },
  },
  "credit-used-up": {
    begins: {
      event: "credit_used_up",
      en: (_, { holder, left }) => `${holder} has used the credit up, ${left} is left`,
      ru: (_, { holder, left }) => `${holder}: кредит исчерпан, осталось ${left}`,
    },
  },
  readiness: {
    begins: {
      event: "not_ready",
      en: (_, { failed }) =>
        `not ready: ${failed}. Requests may be refused; the log has the reasons`,
      ru: (_, { failed }) => `не готов: ${failed}. Запросы могут отклоняться; причины в журнале`,
    },
    ends: { event: "ready", en: () => "ready again", ru: () => "снова готов" },
  },
};

/** The message that a condition began or ended; `undefined` where its end is not told. */
export function createAlert(
  condition: Condition,
  subject: string,
  bad: boolean,
  facts: Facts,
  language: Language,
): Alert | undefined {
  const { begins, ends } = happenings[condition];
  const happening = bad ? begins : ends;
  if (happening === undefined) return undefined;
  const now = Date.now();
  return {
    id: timeOrderedId(now),
    event: happening.event,
    subject,
    at: new Date(now).toISOString(),
    text: `XRouter: ${happening[language](subject, facts)}`,
    facts,
  };
}
