/**
 * Schemas: codecs that check what they write and read, and the registries that keep the schemas of a topic readable for
 * each other.
 *
 * @module
 */
export { avro, type AvroOptions } from './avro.ts'
export { avroFile, type AvroFile, type AvroFileOptions } from './avro-file.ts'
export type { AvroDefinition, AvroSchema, AvroValue } from './avro/infer.ts'
export { jsonSchema, type JsonSchemaOptions } from './json-schema.ts'
export { protobuf, type ProtobufOptions, type UnnamedMessage } from './protobuf.ts'
export { json, type JsonOptions, type OneWaySchema } from './json.ts'
export type { StandardIssue, StandardProperties, StandardResult, StandardSchema } from './json/standard-schema.ts'
export { fileRegistry, type FileRegistryOptions } from './registry/file.ts'
export { glueRegistry, type GlueClient, type GlueRegistry, type GlueRegistryOptions } from './registry/glue.ts'
export { azureRegistry, type AzureRegistryOptions, type AzureTokenSource } from './registry/azure.ts'
export { memoryRegistry } from './registry/memory.ts'
export { pubsubRegistry, type PubsubRegistryOptions } from './registry/pubsub.ts'
export { pulsarRegistry, type PulsarRegistryOptions } from './registry/pulsar.ts'
export { confluentRegistry } from './registry/confluent.ts'
export type { ConfluentRegistryOptions } from './registry/confluent-options.ts'
export type { HeaderSource } from './registry/http.ts'
export type { HttpRegistryOptions } from './registry/http-options.ts'
export type { ManagedRegistry } from './registry/managed.ts'
export { checkCompatibility, type Compatibility, type SchemaText } from './registry/compatibility.ts'
export type { RegisteredVersion } from './registry/state.ts'
export { recordName, topicName, topicRecordName, type ReferencedSchema, type SubjectStrategy } from './subjects.ts'
