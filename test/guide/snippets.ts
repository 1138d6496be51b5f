// The guide's snippets, cut from its text by their first and last lines. The text itself stays outside this project.
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { PROJECT_DIR } from '../support/built.ts';

const GUIDE_FILE = join(PROJECT_DIR, '..', 'shared', 'seed', '000_c3d5e0cdeb03175f.txt');

export const guideIsHere = existsSync(GUIDE_FILE);

/** First and last line, each with as many of its neighbours as make it the only one. */
const MARKS = {
  curl: [
    'curl -H "Authorization: Bearer oclaw_live_your_key_here" \\',
    'https://api.openclaw.com/v1/sessions',
  ],
  createSession: [
    "const response = await fetch('https://api.openclaw.com/v1/sessions', {",
    "console.log('Session created:', session.id);",
  ],
  sessionJson: ['{\n"id": "sess_abc123def456",', '}\n}'],
  retrieveSession: ['const session = await fetch(', "console.log('Tokens used:', session.token_count);"],
  listSessions: ['const sessions = await fetch(', ').then(r => r.json());'],
  sendMessage: ['const response = await fetch(', "console.log('AI Response:', message.content);"],
  stream: ['const response = await fetch(', 'process.stdout.write(data.text);\n}\n}\n}'],
  enableTools: ['const session = await createSession({', '});'],
  customTool: ['const customTool = {', 'body: JSON.stringify(customTool)\n});'],
  handleToolCall: ['const toolCall = event.tool_call;', ');\n}'],
  handleEvent: ['function handleEvent(event) {', "console.error('Error:', event.message);\nbreak;\n}\n}"],
  connectSocket: [
    'const ws = new WebSocket(',
    "ws.on('close', () => {\nconsole.log('Connection closed');\n});",
  ],
  sendOverSocket: ['ws.send(JSON.stringify({', '}));'],
  verifyWebhook: ["const crypto = require('crypto');", "res.status(200).send('OK');\n});"],
  createWebhook: ["await fetch('https://api.openclaw.com/v1/webhooks', {", '});'],
  rateLimitHeaders: ['X-RateLimit-Limit: 1000', 'X-RateLimit-Reset: 1708423200'],
  apiCallWithRetry: [
    'async function apiCallWithRetry(fn, maxRetries = 3) {',
    "throw new Error('Max retries exceeded');\n}",
  ],
  errorJson: ['{\n"error": {', '}\n}'],
  safeApiCall: ['async function safeApiCall(fn) {', 'throw error;\n}\n}'],
} as const;

export type SnippetName = keyof typeof MARKS;
export const SNIPPET_NAMES = Object.keys(MARKS) as SnippetName[];

function positionsOf(text: string, mark: string): number[] {
  const found: number[] = [];
  for (let at = text.indexOf(`\n${mark}\n`); at >= 0; at = text.indexOf(`\n${mark}\n`, at + 1))
    found.push(at + 1);
  return found;
}

/** The shortest piece from a first line to a last line. */
export function snippet(name: SnippetName): string {
  const guide = readFileSync(GUIDE_FILE, 'utf8').replaceAll('\r\n', '\n');
  const [first, last] = MARKS[name];
  const ends = positionsOf(guide, last).map((at) => at + last.length);
  const pieces = positionsOf(guide, first).flatMap((start) => {
    const end = ends.find((at) => at >= start + first.length);
    return end === undefined ? [] : [guide.slice(start, end)];
  });
  const [shortest] = pieces.sort((a, b) => a.length - b.length);
  if (shortest === undefined) throw new Error(`The guide has no snippet '${name}'`);
  return shortest;
}
