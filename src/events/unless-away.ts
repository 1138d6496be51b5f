// Patience with a store that is away, for who waits or follows: what is coming to them has been accepted.
import { ApiError } from '../contracts/errors.ts';

/** @returns undefined when the store can't be reached now; every other failure is one. */
export async function unlessAway<T>(read: Promise<T>): Promise<T | undefined> {
  try {
    return await read;
  } catch (error) {
    if (error instanceof ApiError && error.code === 'unavailable') return undefined;
    throw error;
  }
}
