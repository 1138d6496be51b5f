// JSON lines on stderr: stdout belongs to what people read at the start.
import { destination, type Logger, pino } from 'pino';

/** Fields that could hold a secret, wherever an object with them is logged. */
const SECRET_PATHS = ['authorization', 'apiKey', 'key', 'secret', 'token', 'password', 'x-api-key'].flatMap(
  (name) => [`["${name}"]`, `*["${name}"]`, `*.*["${name}"]`],
);

/** A configuration says `set` or `unset` of its secrets. */
const censor = (value: unknown): unknown => (value === 'set' || value === 'unset' ? value : '[redacted]');

const KEY_PATTERN = /\b(oclaw_live_|sk-ant-)[A-Za-z0-9_-]+/g;

/** Keys that stand inside a text, such as an error's message, keep only their mark. */
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
