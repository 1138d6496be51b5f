// Signs the simulator's thoughts, so that a changed or invented one is recognized, also after a restart.
import { createHash } from 'node:crypto';

export const signatureOf = (thinking: string): string =>
  createHash('sha256').update(`OpenClaw simulator\n${thinking}`).digest('base64');

export const isSigned = (thinking: string, signature: string): boolean => signature === signatureOf(thinking);
