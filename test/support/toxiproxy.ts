// Links between processes that can be made slow, silent or broken: a real toxiproxy, told over its HTTP interface.
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { eventually } from './api-client.ts';
import { freePort } from './ports.ts';

export interface Link {
  /** `127.0.0.1:PORT`, for who is to come through it. */
  address: string;
  /** Makes it bad, in both directions, also for the connections that are open. */
  poison(toxic: Toxic): Promise<void>;
  /** As if nothing had been. */
  heal(): Promise<void>;
}

/** `down` ends all connections and refuses new ones; the others are toxiproxy's own. */
export type Toxic = { type: string; attributes: Record<string, number> } | 'down';

export interface Toxiproxy {
  /** @param upstream `host:port`. */
  link(name: string, upstream: string): Promise<Link>;
  stop(): Promise<void>;
}

/** What `npm run fetch-go-tools` has built. */
export function findToxiproxy(): string {
  const cacheDir = join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'openclaw');
  const names = existsSync(cacheDir) ? readdirSync(cacheDir) : [];
  const name = names.find((each) => /^toxiproxy-\d[\d.]*$/.test(each));
  if (!name) throw new Error('toxiproxy is not there: npm run fetch-go-tools (it needs Go)');
  return join(cacheDir, name);
}

async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGKILL');
  await gone;
}

export async function startToxiproxy(): Promise<Toxiproxy> {
  const port = await freePort();
  const child = spawn(findToxiproxy(), ['-host', '127.0.0.1', '-port', String(port)], { stdio: 'ignore' });
  async function tell(method: string, path: string, body?: unknown): Promise<void> {
    const answer = await fetch(`http://127.0.0.1:${port}${path}`, { method, body: JSON.stringify(body) });
    const said = await answer.text();
    if (!answer.ok) throw new Error(`toxiproxy: ${answer.status} ${said}`);
  }
  const isUp = () =>
    tell('GET', '/version').then(
      () => true,
      () => false,
    );
  await eventually(isUp, Boolean);
  return {
    async link(name, upstream) {
      const address = `127.0.0.1:${await freePort()}`;
      await tell('POST', '/proxies', { name, listen: address, upstream, enabled: true });
      const poisoned: string[] = [];
      return {
        address,
        async poison(toxic) {
          if (toxic === 'down') return tell('POST', `/proxies/${name}`, { enabled: false });
          for (const stream of ['upstream', 'downstream']) {
            await tell('POST', `/proxies/${name}/toxics`, { ...toxic, name: stream, stream });
            poisoned.push(stream);
          }
        },
        async heal() {
          for (const toxic of poisoned.splice(0)) await tell('DELETE', `/proxies/${name}/toxics/${toxic}`);
          await tell('POST', `/proxies/${name}`, { enabled: true });
        },
      };
    },
    stop: () => ended(child),
  };
}
