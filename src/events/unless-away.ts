// Tolerates an unavailable store for waiting calls and followers, because their message is already accepted.
import { ApiError } from '../contracts/errors.ts';

/** @returns undefined if the store is unavailable. All other failures are thrown. */
export async function unlessAway<T>(read: Promise<T>): Promise<T | undefined> {
  try {
    return await read;
  } catch (error) {
    if (error instanceof ApiError && error.code === 'unavailable') return undefined;
    throw error;
  }
}
