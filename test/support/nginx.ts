// An nginx before a server, with its defaults: what nobody has configured for streams is what most have.
import { spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { eventually } from './api-client.ts';
import { freePort } from './ports.ts';
import { newDirectory } from './process.ts';

/** All but the two headers without which nginx lets no WebSocket through at all. */
const configuration = (directory: string, port: number, upstream: string) => `
daemon off;
worker_processes 1;
pid ${directory}/nginx.pid;
error_log stderr;
events {}
http {
  access_log off;
  client_body_temp_path ${directory}/body;
  proxy_temp_path ${directory}/proxy;
  fastcgi_temp_path ${directory}/fastcgi;
  uwsgi_temp_path ${directory}/uwsgi;
  scgi_temp_path ${directory}/scgi;
  server {
    listen 127.0.0.1:${port};
    location / {
      proxy_pass ${upstream};
      proxy_http_version 1.1;
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection $http_connection;
    }
  }
}
`;

export type Nginx = Awaited<ReturnType<typeof startNginx>>;

/** @param upstream The server's URL. */
export async function startNginx(upstream: string) {
  const directory = newDirectory();
  const port = await freePort();
  const file = join(directory, 'nginx.conf');
  writeFileSync(file, configuration(directory, port, upstream));
  const child = spawn('nginx', ['-e', 'stderr', '-p', directory, '-c', file], { stdio: 'inherit' });
  const gone = new Promise<void>((resolve, reject) => {
    child.once('exit', () => resolve());
    child.once('error', (cause) =>
      reject(new Error('nginx is not there: apt-get install nginx-light', { cause })),
    );
  });
  const url = `http://127.0.0.1:${port}`;
  const isUp = () =>
    fetch(`${url}/healthz`).then(
      ({ ok }) => ok,
      () => false,
    );
  await Promise.race([eventually(isUp, Boolean), gone]);
  return {
    url,
    async stop(): Promise<void> {
      child.kill('SIGTERM');
      await gone;
    },
  };
}
