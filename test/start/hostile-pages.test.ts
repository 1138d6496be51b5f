// Web pages that the operator happens to open: none of them reads or ends sessions through the embedded Temporal server,
// neither from another origin nor under a name that leads to this machine (DNS rebinding).
import { type IncomingHttpHeaders, request } from 'node:http';
import { Socket } from 'node:net';
import { TEMPORAL_CLI } from '../../src/temporal/binary.ts';
import { readRecord, serverFiles } from '../../src/temporal/embedded-record.ts';
import { cleanUp, type ServerProcess, startServer } from '../support/process.ts';
import { listeningPorts } from '../support/tcp-table.ts';

const FOREIGN = 'evil.example';

interface Answer {
  status: number;
  headers: IncomingHttpHeaders;
  body: string;
}

interface Ask {
  port: number;
  method?: string;
  path?: string;
  headers?: Record<string, string>;
  body?: string;
}

/** fetch() sets Host itself. */
function ask({ port, method = 'GET', path = '/', headers = {}, body }: Ask): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const asked = request({ host: '127.0.0.1', port, method, path, headers, agent: false }, (answer) => {
      let text = '';
      answer.setEncoding('utf8').on('data', (part: string) => {
        text += part;
      });
      answer.on('end', () =>
        resolve({ status: answer.statusCode ?? 0, headers: answer.headers, body: text }),
      );
    });
    asked.on('error', reject).end(body);
  });
}

const speaksHttp = (port: number): Promise<boolean> =>
  ask({ port, headers: { host: 'localhost' } }).then(
    () => true,
    () => false,
  );

let server: ServerProcess;
let uiPort: number;
let httpApiPort: number;
let session: string;

beforeAll(async () => {
  server = await startServer();
  uiPort = Number(/Temporal UI http:\/\/127\.0\.0\.1:(\d+)/.exec(server.stdout())?.[1]);
  httpApiPort = readRecord(serverFiles(server.dataDir, TEMPORAL_CLI.version))?.ports.http ?? 0;
  ({ id: session } = await server.api.session());
  await server.api.post(`/v1/sessions/${session}/messages`, { content: 'a secret of mine' });
});
afterAll(cleanUp);

const workflow = () => `/api/v1/namespaces/default/workflows/${session}`;
const terminate = (port: number, headers: Record<string, string>) =>
  ask({
    ...{ port, headers, method: 'POST', path: `${workflow()}/terminate` },
    body: JSON.stringify({ reason: 'a hostile page' }),
  });

/** What a browser sends for a page of this origin that posts without asking first. */
const simplePost = (host: string, origin: string, site = 'cross-site') => ({
  ...{ host, origin, 'content-type': 'text/plain' },
  ...{ 'sec-fetch-site': site, 'sec-fetch-mode': 'no-cors', 'sec-fetch-dest': 'empty' },
});

async function expectAlive(): Promise<void> {
  const path = workflow();
  const { body } = await ask({ port: uiPort, path, headers: { host: 'localhost' } });
  expect(JSON.parse(body).workflowExecutionInfo.status).toBe('WORKFLOW_EXECUTION_STATUS_RUNNING');
  const answer = await server.api.post(`/v1/sessions/${session}/messages`, { content: 'Are you there?' });
  expect(answer.status).toBe(200);
}

describe('a page of another origin', () => {
  const origins = [`https://${FOREIGN}`, 'http://localhost:3000', 'http://127.0.0.1:3000', 'null'];

  it.each(origins)('%s: does not end a session through the UI', async (origin) => {
    for (const host of [`127.0.0.1:${uiPort}`, `localhost:${uiPort}`]) {
      expect((await terminate(uiPort, simplePost(host, origin))).status).toBe(403);
      expect((await terminate(uiPort, simplePost(host, origin, 'same-site'))).status).toBe(403);
      // An old browser, which says nothing of sites.
      expect((await terminate(uiPort, { host, origin, 'content-type': 'text/plain' })).status).toBe(403);
    }
    await expectAlive();
  });

  it.each(origins)('%s: does not end a session through the HTTP API', async (origin) => {
    for (const host of [`127.0.0.1:${httpApiPort}`, `localhost:${httpApiPort}`, FOREIGN])
      expect((await terminate(httpApiPort, simplePost(host, origin))).status).toBe(403);
    await expectAlive();
  });

  it('is told by no preflight that it may', async () => {
    const headers = {
      ...{ host: `127.0.0.1:${uiPort}`, origin: `https://${FOREIGN}` },
      ...{ 'access-control-request-method': 'POST', 'access-control-request-headers': 'x-csrf-token' },
    };
    for (const port of [uiPort, httpApiPort]) {
      const answer = await ask({ port, method: 'OPTIONS', path: `${workflow()}/terminate`, headers });
      expect(answer.status).toBeGreaterThanOrEqual(400);
      expect(answer.headers).not.toHaveProperty('access-control-allow-origin');
    }
  });

  it('loads nothing of the UI, but may link to it', async () => {
    const headers = { host: `127.0.0.1:${uiPort}`, 'sec-fetch-site': 'cross-site' };
    const loads = await ask({
      port: uiPort,
      path: workflow(),
      headers: { ...headers, 'sec-fetch-mode': 'no-cors' },
    });
    expect(loads.status).toBe(403);
    const opens = await ask({ port: uiPort, headers: { ...headers, 'sec-fetch-mode': 'navigate' } });
    expect(opens.status).toBe(200);
    // In no frame, where it could be clicked unseen.
    expect(opens.headers['x-frame-options']).toBe('SAMEORIGIN');
  });

  it('opens no WebSocket', async () => {
    const headers = {
      ...{
        host: `127.0.0.1:${uiPort}`,
        origin: `https://${FOREIGN}`,
        connection: 'Upgrade',
        upgrade: 'websocket',
      },
      ...{ 'sec-websocket-version': '13', 'sec-websocket-key': 'AAAAAAAAAAAAAAAAAAAAAA==' },
    };
    expect((await ask({ port: uiPort, headers })).status).toBe(403);
  });
});

describe('a page under a name that leads to this machine', () => {
  const hosts = [
    ...[
      FOREIGN,
      '127.0.0.1.evil.example',
      'localhost.evil.example',
      'localhost@evil.example',
      '127.0.0.1:80.evil',
    ],
    ...['0.0.0.0', 'localhost.', 'xlocalhost', '[::1].evil', ''],
  ];

  it.each(hosts)("'%s': reads and ends nothing on any port that speaks HTTP", async (host) => {
    const ports = listeningPorts(server.temporal()?.pid ?? 0);
    const speak = await Promise.all(ports.map(speaksHttp));
    const open = [uiPort, ...ports.filter((_, index) => speak[index])];
    expect(open).toContain(httpApiPort);
    for (const port of open) {
      // As the page's own origin, which the browser believes it to be.
      const headers = {
        host,
        origin: `http://${host}`,
        'sec-fetch-site': 'same-origin',
        'sec-fetch-mode': 'cors',
      };
      const read = await ask({ port, path: workflow(), headers });
      expect([400, 403, 404]).toContain(read.status);
      expect(read.body).not.toContain(session);
      expect([400, 403, 404]).toContain((await terminate(port, headers)).status);
    }
    await expectAlive();
  });

  it('finds no other UI on this address: the server has its own at one that no page can know', async () => {
    const ports = listeningPorts(server.temporal()?.pid ?? 0);
    const pages = await Promise.all(
      ports.map((port) => ask({ port, headers: { host: 'localhost' } }).catch(() => ({ body: '' }))),
    );
    // macOS has one loopback address only.
    const expected = process.platform === 'linux' ? 0 : 1;
    expect(pages.filter(({ body }) => body.includes('<html'))).toHaveLength(expected);
  });
});

describe('the operator', () => {
  it.each(['127.0.0.1', 'localhost', '[::1]'])(
    'opens the UI as %s, at any port of a tunnel',
    async (name) => {
      const answer = await ask({ port: uiPort, headers: { host: `${name}:9000` } });
      expect([answer.status, answer.headers['content-type']]).toEqual([200, 'text/html']);
    },
  );

  it('gets a link to the Current Details of a session, which the UI shows on the tab of user metadata', async () => {
    const { body } = await server.api.get(`/v1/sessions/${session}/state`);
    const link =
      /^http:\/\/127\.0\.0\.1:(\d+)\/namespaces\/default\/workflows\/(\w+)\/([\w-]+)\/user-metadata$/;
    const [, port, workflowId, runId] = link.exec(body.temporal_url) ?? [];
    expect([Number(port), workflowId]).toEqual([uiPort, session]);
    const run = await ask({
      port: uiPort,
      path: `${workflow()}?execution.runId=${runId}`,
      headers: { host: 'localhost' },
    });
    expect(JSON.parse(run.body).workflowExecutionInfo.execution).toEqual({ workflowId, runId });
  });

  it('finds no request to the internet in the UI', async () => {
    const { body } = await ask({ port: uiPort, path: '/api/v1/settings', headers: { host: 'localhost' } });
    expect(JSON.parse(body)).toMatchObject({ DisableNewsFetch: true });
  });

  it('ends a workflow there, as the UI itself asks', async () => {
    const { id } = await server.api.session();
    await server.api.post(`/v1/sessions/${id}/messages`, { content: 'Hello' });
    const host = `localhost:${uiPort}`;
    const headers = {
      host,
      origin: `http://${host}`,
      'sec-fetch-site': 'same-origin',
      'sec-fetch-mode': 'cors',
    };
    const path = `/api/v1/namespaces/default/workflows/${id}/terminate`;
    const { status } = await ask({
      port: uiPort,
      method: 'POST',
      path,
      headers,
      body: '{"reason":"of mine"}',
    });
    expect(status).toBe(200);
  });
});

test('a client that goes away leaves the UI in service', async () => {
  for (let each = 0; each < 20; each++) {
    const socket = new Socket();
    socket.on('error', () => {});
    socket.connect(uiPort, '127.0.0.1', () => {
      socket.write(`GET ${workflow()} HTTP/1.1\r\nHost: localhost\r\n\r\n`);
      socket.destroy();
    });
  }
  expect((await ask({ port: uiPort, headers: { host: 'localhost' } })).status).toBe(200);
});
