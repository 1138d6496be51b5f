// Signs the simulator's thinking. A changed or invented thought is recognized, even after a restart.
import { createHash } from 'node:crypto';

export const signatureOf = (thinking: string): string =>
  createHash('sha256').update(`OpenClaw simulator\n${thinking}`).digest('base64');

export const isSigned = (thinking: string, signature: string): boolean => signature === signatureOf(thinking);
