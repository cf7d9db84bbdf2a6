/**
 * Schemas: codecs that check what they write and read, and the registries that keep the schemas of a topic readable for
 * each other.
 *
 * @module
 */
export { avro, type AvroOptions } from './avro.ts'
export type { AvroDefinition, AvroSchema, AvroValue } from './avro/infer.ts'
export { json, type JsonOptions, type OneWaySchema } from './json.ts'
export type { StandardIssue, StandardProperties, StandardResult, StandardSchema } from './json/standard-schema.ts'
export { fileRegistry, type FileRegistryOptions } from './registry/file.ts'
export { memoryRegistry } from './registry/memory.ts'
export type { EmbeddedRegistry } from './registry/embedded.ts'
export type { Compatibility, SchemaText } from './registry/compatibility.ts'
export type { RegisteredVersion } from './registry/state.ts'
