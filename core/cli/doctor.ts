/**
 * `xrouter doctor`: looks at everything that XRouter needs, and names the cure of what is wrong.
 *
 * @module
 */
import { readEnvironment } from "../config.ts";
import { type Assembly, closeProviders, misspeltOf, tryAssemble } from "../assembly.ts";
import { defineCommand, jsonSwitch } from "./arguments.ts";
import { type Check, formatCheck } from "./check.ts";
import { checkDatabase } from "./database_check.ts";
import { checkClock, checkProvider, credentialNames } from "./provider_check.ts";
import { createRedact } from "./redact.ts";

/** `xrouter doctor`. */
export const doctor = defineCommand({
  name: "doctor",
  about: "Check configuration, database, vendors and clock, and name the cures",
  arguments: { json: jsonSwitch },
  help: () => "The exit code is 1 if a check failed; a warning is no failure.",
  async run({ json }) {
    const checks: Check[] = [];
    await examine((found, nameWidth) => {
      checks.push(...found);
      if (!json) { for (const each of found) console.log(formatCheck(each, nameWidth)); }
    });
    if (json) console.log(JSON.stringify(checks, undefined, 2));
    return checks.some(({ status }) => status === "fail") ? 1 : 0;
  },
});

/** Takes checks as they are done. */
type Report = (found: readonly Check[], nameWidth: number) => void;

/** Looks at everything at the same time and reports it in an order that is always the same. */
async function examine(report: Report): Promise<void> {
  const { assembly, problems } = await tryAssemble(readEnvironment());
  const providers = [...assembly.catalog.providers.values()];
  const configured = providers.filter(({ missing }) => missing === undefined);
  const names = configured.flatMap((each) => each.local ? [each.name] : credentialNames(each));
  const nameWidth = Math.max(...["configuration", ...names].map((name) => name.length));

  report(
    problems.length === 0
      ? [{ status: "ok", name: "configuration", found: summaryOf(assembly) }]
      : problems.map(({ at, message }) => ({
        status: "fail",
        name: "configuration",
        found: `${at}: ${message}`,
      })),
    nameWidth,
  );
  report(
    misspeltOf(assembly).map(({ variable, meant }) => ({
      status: "warn",
      name: "environment",
      found: `${variable} is set, and nobody reads it`,
      cure: `Call it ${meant}, if that is what it is for`,
    })),
    nameWidth,
  );
  const redact = createRedact(assembly);
  const database = problems.some(({ at }) => at.startsWith("DATABASE_"))
    ? []
    : checkDatabase(assembly.config.settings, redact);
  const looks = configured.map((each) => checkProvider(each, redact));
  report(await database, nameWidth);
  for (const look of looks) report((await look).checks, nameWidth);
  const others = providers.filter(({ missing }) => missing !== undefined);
  if (others.length > 0) {
    const found = `not configured: ${others.map(({ name }) => name).join(", ")}`;
    const cure = '"xrouter providers" says what to set for each';
    report([{ status: "info", name: "providers", found, cure }], nameWidth);
  }
  report([checkClock(await Promise.all(looks))], nameWidth);
  await closeProviders(assembly.catalog);
}

function summaryOf({ config, plugins, catalog }: Assembly): string {
  const file = config.env.XROUTER_CONFIG?.trim();
  return `${plugins.length} plugins, ${catalog.providers.size} providers, ` +
    (file ? `configuration file ${file}` : "no configuration file");
}
