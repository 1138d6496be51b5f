// The dependencies of every routes file.
import type { Services } from '../../services/ports.ts';
import type { OpenPageOf } from '../pagination.ts';

export interface RouteDeps {
  services: Services;
  openPage: OpenPageOf;
}
