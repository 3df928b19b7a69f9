/** Clients that leave while they wait for a whole answer, as Linux's tables of connections show it. */
import { assertEquals } from "@std/assert";
import { Departures } from "../../core/departures.ts";
import { startKernel } from "../support/kernel.ts";
import { LeavingClient, watchClient } from "../support/leaving_client.ts";
import { ask } from "../support/router.ts";
import { startUpstream, wholeAnswer } from "../support/upstream.ts";

const ignore = Deno.build.os !== "linux";

/** A server's end of a connection, and the client's. */
async function connect(hostname: string, to = hostname) {
  const listener = Deno.listen({ hostname, port: 0 });
  const [served, client] = await Promise.all([
    listener.accept(),
    Deno.connect({ hostname: to, port: (listener.addr as Deno.NetAddr).port }),
  ]);
  listener.close();
  return { served, client };
}

/** A client that is watched. */
function watched(departures: Departures, from: () => Deno.Addr | undefined) {
  const { promise, resolve } = Promise.withResolvers<void>();
  let left = 0;
  const client = {
    leave() {
      left++;
      resolve();
    },
  };
  const forget = departures.watch(client, from);
  return { forget, promise, times: () => left };
}

const ways = [["127.0.0.1"], ["::1"], ["::", "127.0.0.1"], ["::", "::1"]] as const;

for (const [hostname, to] of ways) {
  const name = `Departures sees who leaves ${to ?? hostname}, at ${hostname}, and nobody else`;
  Deno.test({ name, ignore }, async () => {
    const departures = new Departures();
    const leaving = await connect(hostname, to);
    const staying = await connect(hostname, to);
    const gone = watched(departures, () => leaving.served.remoteAddr);
    const there = watched(departures, () => staying.served.remoteAddr);
    const unknown = watched(departures, () => undefined);
    // Nobody in the tables has this end: like one that comes over a Unix socket.
    const elsewhere = watched(
      departures,
      () => ({ transport: "tcp", hostname: "203.0.113.7", port: 1 }),
    );
    leaving.client.close();
    await gone.promise;
    const again = await connect(hostname, to);
    const second = watched(departures, () => again.served.remoteAddr);
    again.client.close();
    await second.promise;
    assertEquals(
      [gone, second, there, unknown, elsewhere].map(({ times }) => times()),
      [1, 1, 0, 0, 0],
    );
    for (const { forget } of [there, unknown, elsewhere]) forget();
    await departures.idle();
    for (const each of [leaving.served, staying.served, staying.client, again.served]) each.close();
  });
}

Deno.test({
  name: "Departures sees a connection that is gone without a trace, and has been there",
  ignore,
}, async () => {
  const departures = new Departures();
  const { served, client } = await connect("127.0.0.1");
  const from = served.remoteAddr;
  const looked = Promise.withResolvers<void>();
  const gone = watched(departures, () => {
    looked.resolve();
    return from;
  });
  await looked.promise;
  await departures.idle();
  await reset(served, client);
  await gone.promise;
  assertEquals(gone.times(), 1);
  await departures.idle();
});

/** Ends a connection so that neither side keeps a trace of it: what was sent is not read. */
async function reset(served: Deno.TcpConn, client: Deno.TcpConn): Promise<void> {
  await served.write(new Uint8Array(1));
  client.close();
  served.close();
}

Deno.test({
  name: "Kernel ends the call of a long request whose client leaves before its whole answer",
  ignore,
}, async () => {
  const asked = Promise.withResolvers<void>();
  const over = Promise.withResolvers<void>();
  await using upstream = startUpstream(async () => {
    asked.resolve();
    await over.promise;
    return wholeAnswer();
  });
  const provider = { name: "vendor", baseUrl: upstream.url, onAbort: "cancel" } as const;
  const { hooks, gone } = watchClient();
  await using kernel = startKernel({ providers: [provider], plugins: [{ hooks }] });
  const client = new LeavingClient((init) =>
    kernel.chat(ask("vendor/m", "word ".repeat(4_000)), init)
  );
  await asked.promise;
  client.leave();
  await gone;
  const { state, status } = await kernel.ended();
  assertEquals([state, status], ["aborted", 499]);
  over.resolve();
});
