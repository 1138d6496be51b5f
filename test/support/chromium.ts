// A real browser for one run: Debian's Chromium without a window, a profile of its own, driven over its debugging protocol.
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { WebSocket } from 'ws';
import { eventually } from './api-client.ts';

const BINARY = '/usr/bin/chromium';
const FLAGS = [
  ...['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run'],
  ...['--disable-background-networking', '--disable-component-update', '--disable-sync'],
  ...['--disable-dev-shm-usage', '--remote-debugging-port=0'],
];

/** Undefined when the tests can run; else why not. CI installs it. */
export const whyNoChromium: string | undefined = existsSync(BINARY)
  ? undefined
  : 'Chromium is not installed: apt-get install chromium';

export interface Page {
  /** Runs the function in the page, with what it needs. @returns what its promise resolves to. */
  run<Result>(work: (input: any) => Promise<Result>, input: unknown): Promise<Result>;
}

export type Browser = Awaited<ReturnType<typeof startBrowser>>;

interface Reply {
  id?: number;
  result?: any;
  error?: { message: string };
}

/** Speaks to the browser, or to one page of it. */
async function attach(url: string) {
  const socket = new WebSocket(url);
  const waiting = new Map<number, (reply: Reply) => void>();
  let lastId = 0;
  socket.on('message', (data) => {
    const reply: Reply = JSON.parse(String(data));
    if (reply.id !== undefined) waiting.get(reply.id)?.(reply);
  });
  await new Promise((resolve, reject) => socket.once('open', resolve).once('error', reject));
  return {
    async ask(method: string, params: object, sessionId?: string): Promise<any> {
      lastId += 1;
      const id = lastId;
      const reply = await new Promise<Reply>((resolve) => {
        waiting.set(id, resolve);
        socket.send(JSON.stringify({ id, method, params, sessionId }));
      });
      if (reply.error) throw new Error(`${method}: ${reply.error.message}`);
      return reply.result;
    },
    close: () => socket.terminate(),
  };
}

async function debuggerUrl(profile: string): Promise<string> {
  const file = join(profile, 'DevToolsActivePort');
  const read = async () => (existsSync(file) ? readFileSync(file, 'utf8').split('\n') : []);
  const [port, path] = await eventually(read, (lines) => lines.length >= 2);
  return `ws://127.0.0.1:${port}${path}`;
}

function endOf(child: ChildProcess): Promise<void> {
  return new Promise((resolve) => {
    if (child.exitCode !== null || child.signalCode !== null) resolve();
    else child.once('exit', () => resolve());
  });
}

export async function startBrowser() {
  const profile = mkdtempSync(join(tmpdir(), 'openclaw-chromium-'));
  const child = spawn(BINARY, [...FLAGS, `--user-data-dir=${profile}`, 'about:blank'], { stdio: 'ignore' });
  const browser = await attach(await debuggerUrl(profile));
  return {
    async open(url: string): Promise<Page> {
      const { targetId } = await browser.ask('Target.createTarget', { url: 'about:blank' });
      const { sessionId } = await browser.ask('Target.attachToTarget', { targetId, flatten: true });
      await browser.ask('Page.navigate', { url }, sessionId);
      const evaluate = async (expression: string) => {
        const options = { expression, awaitPromise: true, returnByValue: true };
        const { result, exceptionDetails } = await browser.ask('Runtime.evaluate', options, sessionId);
        if (exceptionDetails)
          throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text);
        return result.value;
      };
      const isLoaded = () => evaluate('location.href + document.readyState').catch(() => '');
      await eventually(isLoaded, (state) => state === `${url}complete`);
      return { run: (work, input) => evaluate(`(${work})(${JSON.stringify(input)})`) };
    },
    async stop(): Promise<void> {
      await browser.ask('Browser.close', {}).catch(() => undefined);
      browser.close();
      await endOf(child);
      rmSync(profile, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 });
    },
  };
}

/** Serves an empty page. @returns its address: another port is another origin. */
export async function servePage() {
  const server = createServer((_req, res) => {
    res.setHeader('Content-Type', 'text/html').end('<!doctype html><title>A page</title>');
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    /** By address, or by a name that is another origin. */
    url: (host = '127.0.0.1') => `http://${host}:${port}/`,
    origin: (host = '127.0.0.1') => `http://${host}:${port}`,
    close: () => new Promise((resolve) => server.close(resolve)),
  };
}
