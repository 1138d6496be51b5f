// A link that goes silent without being closed, as when a laptop is shut: toxiproxy takes what the server sends and passes nothing on.
import { eventually } from '../support/api-client.ts';
import { cleanUp, type ServerProcess, startServer } from '../support/process.ts';
import { openSocket } from '../support/socket-client.ts';
import { tcpSockets } from '../support/tcp-table.ts';
import { startToxiproxy, type Toxiproxy } from '../support/toxiproxy.ts';

/** Acceptance test 30. */
const GONE_WITHIN_MS = 45_000;

let server: ServerProcess;
let toxiproxy: Toxiproxy;
beforeAll(async () => {
  toxiproxy = await startToxiproxy();
  server = await startServer();
});
afterAll(async () => {
  await toxiproxy?.stop();
  await cleanUp();
});

/** Who is connected to the server, by the port at their end. */
const peers = (): number[] =>
  tcpSockets()
    .filter(({ localPort, state }) => localPort === server.port && state === 'established')
    .map(({ remotePort }) => remotePort);

it(
  'a WebSocket behind a silent link is let go within 45 s, and its client goes on with its cursor',
  async () => {
    const { id } = await server.api.session();
    await server.api.send(id, 'one');
    const link = await toxiproxy.link('tab', `127.0.0.1:${server.port}`);
    const url = `http://${link.address}/v1/sessions/${id}/ws`;
    const others = peers();
    const tab = await openSocket(`${url}?after=0`, { key: server.api.key });
    await tab.until(({ type, seq }) => type === 'message' && seq !== undefined);
    const [own = 0] = peers().filter((peer) => !others.includes(peer));
    expect(own).not.toBe(0);
    await link.poison({ type: 'timeout', attributes: { timeout: 0 } });
    await server.api.send(id, 'two');
    await eventually(
      async () => peers(),
      (connected) => !connected.includes(own),
      GONE_WITHIN_MS,
    );
    const { seq } = tab.events().at(-1);
    await link.heal();
    tab.socket.terminate();
    const again = await openSocket(`${url}?after=${seq}`, { key: server.api.key });
    await again.until(({ type, message }) => type === 'message' && message.content.includes('two'));
    const seqs = [...tab.events(), ...again.events()].map((event) => event.seq);
    expect(seqs).toEqual(seqs.map((_, index) => index + 1));
    await again.close();
  },
  GONE_WITHIN_MS + 30_000,
);
