// A start where the machine is not what one expects: proxies that lead nowhere, and ports that are wanted twice.
import { makeDirectory } from '../../src/directories.ts';
import { TEMPORAL_CLI } from '../../src/temporal/binary.ts';
import { serverFiles, temporalDirectory, writeRecord } from '../../src/temporal/embedded-record.ts';
import { writeUiPlace } from '../../src/temporal/embedded-ui.ts';
import { LOCALHOST } from '../../src/temporal/free-ports.ts';
import { freePort } from '../support/ports.ts';
import { cleanUp, newDirectory, startServer } from '../support/process.ts';

afterEach(cleanUp);

const PROXY_NAMES = ['http_proxy', 'https_proxy', 'grpc_proxy', 'all_proxy'];
const NO_PROXY_NAMES = ['no_proxy', 'no_grpc_proxy'];
const inBothCases = (names: string[], value: string): Record<string, string> =>
  Object.fromEntries(names.flatMap((name) => [name, name.toUpperCase()]).map((name) => [name, value]));

it('proxies of the environment are for nothing on this machine', async () => {
  const closed = `http://${LOCALHOST}:${await freePort()}`;
  const env = {
    ...inBothCases(PROXY_NAMES, closed),
    ...inBothCases(NO_PROXY_NAMES, ''),
    NODE_USE_ENV_PROXY: '1',
  };
  const server = await startServer({ env });
  const session = await server.api.session();
  expect((await server.api.send(session.id, 'Hello!')).status).toBe('completed');
  expect((await (await fetch(`${server.url}/readyz`)).json()) as object).toMatchObject({ status: 'ok' });
  expect((await server.stop()).code).toBe(0);
  expect(server.stderr()).not.toMatch(/proxy/i);
});

it('a port that Temporal and its UI had the last time is left to the API', async () => {
  const port = await freePort();
  const dataDir = newDirectory();
  const { directory, databaseFile } = serverFiles(dataDir, TEMPORAL_CLI.version);
  makeDirectory(directory);
  writeRecord(directory, { process: null, ports: { grpc: port }, fingerprint: 'any', databaseFile });
  writeUiPlace(temporalDirectory(dataDir), { port, backendHost: LOCALHOST });
  const server = await startServer({ dataDir, port });
  expect(server.url).toBe(`http://${LOCALHOST}:${port}`);
  await server.stop();
});
