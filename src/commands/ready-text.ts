// The text printed when the server is ready.

export interface ReadyFacts {
  url: string;
  /** `movedFrom`: the port of the last start, if another program uses it now. */
  temporalUi: { url: string; movedFrom: number | null } | null;
  modelName: string;
  /** Only at the very first start. */
  adminKey: string | null;
  keyFile: string;
  /** The reason why the key file has no valid key. Null if the key is valid. */
  lostKey: string | null;
}

/** The first line, separate, for programs that wait for it. */
const readyLine = (url: string): string => `OpenClaw ready at ${url}`;
const apiLine = (url: string): string => `  API         ${url}/v1   (${url}/openapi.json)`;
const modelLine = (modelName: string): string => `  Model       ${modelName}`;

export const apiReadyText = (url: string): string => `${readyLine(url)}\n${apiLine(url)}\n`;

export const workerReadyText = (facts: { url: string; modelName: string; taskQueue: string }): string =>
  [
    readyLine(facts.url),
    `  Probes      ${facts.url}/healthz, ${facts.url}/readyz; nothing else is answered here`,
    `  Task queue  ${facts.taskQueue}`,
    modelLine(facts.modelName),
    '',
  ].join('\n');

function adminKeyLines({ adminKey, keyFile, lostKey }: ReadyFacts): string[] {
  if (adminKey !== null) return [`  Admin key   ${adminKey}   (printed only now; kept in ${keyFile})`];
  if (lostKey === null) return [`  Admin key   in ${keyFile}`];
  return [
    `  Admin key   unknown: ${keyFile} ${lostKey}. Earlier keys still work. Make a new one with`,
    '              npm run openclaw -- keys create --account default --level admin',
  ];
}

/** The addresses, and a curl command to paste. */
export function readyText(facts: ReadyFacts): string {
  const { url, temporalUi, modelName, keyFile, lostKey } = facts;
  const lines = [readyLine(url), apiLine(url)];
  if (temporalUi !== null) {
    lines.push(`  Temporal UI ${temporalUi.url}`);
    if (temporalUi.movedFrom !== null)
      lines.push(
        `              moved: another program uses port ${temporalUi.movedFrom} now, so links to it no longer lead here`,
      );
  }
  lines.push(modelLine(modelName));
  lines.push('  Webhooks    to this machine (127.0.0.1, ::1) are allowed');
  lines.push(...adminKeyLines(facts));
  lines.push('', '  Try it: create a session, and stream an answer');
  const key = lostKey === null ? `$(cat '${keyFile}')` : "'an API key'";
  lines.push(
    `  KEY=${key}; SESSION=$(curl -s ${url}/v1/sessions -H "Authorization: Bearer $KEY" ` +
      `-H 'Content-Type: application/json' -d '{"model":"claude-haiku"}' | grep -o 'sess_[A-Za-z0-9]*' | head -1); ` +
      `curl -sN ${url}/v1/sessions/$SESSION/messages -H "Authorization: Bearer $KEY" ` +
      `-H 'Content-Type: application/json' -d '{"content":"Hello!","stream":true}'`,
  );
  return `${lines.join('\n')}\n`;
}
