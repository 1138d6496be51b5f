// JSON lines on stderr. stdout is for the text printed at the start.
import { destination, type Logger, pino } from 'pino';

/** Fields that could hold a secret, in any logged object. */
const SECRET_PATHS = ['authorization', 'apiKey', 'key', 'secret', 'token', 'password', 'x-api-key'].flatMap(
  (name) => [`["${name}"]`, `*["${name}"]`, `*.*["${name}"]`],
);

/** A described configuration replaces secrets with `set` or `unset`, which are safe to log. */
const censor = (value: unknown): unknown => (value === 'set' || value === 'unset' ? value : '[redacted]');

const KEY_PATTERN = /\b(oclaw_live_|sk-ant-)[A-Za-z0-9_-]+/g;

/** Keys inside a text, such as an error's message, keep only their prefix. */
export const redactText = (text: string): string => text.replace(KEY_PATTERN, '$1[redacted]');

export function createLog(level: string): Logger {
  const redactError = (error: Error) => {
    const plain = pino.stdSerializers.err(error);
    return { ...plain, message: redactText(plain.message ?? ''), stack: redactText(plain.stack ?? '') };
  };
  return pino(
    {
      level,
      redact: { paths: SECRET_PATHS, censor },
      serializers: { err: redactError },
      timestamp: pino.stdTimeFunctions.isoTime,
    },
    destination({ fd: 2, sync: true }),
  );
}
