import { commitPlants } from './commits.ts'
import type { Plant } from './plant.ts'
import { receiverPlants } from './receivers.ts'
import { relayPlants } from './relays.ts'
import { watermarkPlants } from './watermarks.ts'

export type { Plant } from './plant.ts'
export const plants: readonly Plant[] = [...commitPlants, ...receiverPlants, ...relayPlants, ...watermarkPlants]
