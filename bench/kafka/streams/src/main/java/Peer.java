import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.ByteBuffer;
import java.time.Duration;
import java.util.Properties;
import java.util.concurrent.atomic.AtomicBoolean;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.Stores;

/**
 * Kafka Streams with the topologies of the bench. It takes lines: {@code map ID FROM TO} or {@code count ID FROM TO} starts
 * one, {@code stop} ends it. It says {@code first} when a topology sees its first record, and {@code stopped}.
 *
 * <p>One process for all runs of a series, so that the compiler of the virtual machine has done its work before the run that
 * counts.
 */
public final class Peer {
  private static final AtomicBoolean seen = new AtomicBoolean();

  public static void main(String[] arguments) throws Exception {
    BufferedReader lines = new BufferedReader(new InputStreamReader(System.in));
    KafkaStreams streams = null;
    for (String line = lines.readLine(); line != null; line = lines.readLine()) {
      String[] words = line.split(" ");
      if (words[0].equals("stop")) {
        streams.close(Duration.ofSeconds(30));
        streams.cleanUp();
        System.out.println("stopped");
        continue;
      }
      seen.set(false);
      streams = new KafkaStreams(topology(words[0], words[2], words[3]), settings(arguments[0], arguments[1], words[1]));
      streams.setUncaughtExceptionHandler(
          error -> {
            error.printStackTrace();
            System.exit(1);
            return null;
          });
      streams.start();
    }
    System.exit(0);
  }

  private static Properties settings(String servers, String folder, String id) {
    Properties settings = new Properties();
    settings.put(StreamsConfig.APPLICATION_ID_CONFIG, id);
    settings.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, servers);
    settings.put(StreamsConfig.STATE_DIR_CONFIG, folder);
    settings.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, StreamsConfig.EXACTLY_ONCE_V2);
    settings.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, 100);
    settings.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, 1);
    settings.put(StreamsConfig.REPLICATION_FACTOR_CONFIG, 1);
    settings.put(StreamsConfig.DEFAULT_KEY_SERDE_CLASS_CONFIG, Serdes.ByteArraySerde.class);
    settings.put(StreamsConfig.DEFAULT_VALUE_SERDE_CLASS_CONFIG, Serdes.ByteArraySerde.class);
    // Larger steps than the defaults: it is the faster for them.
    settings.put(StreamsConfig.STATESTORE_CACHE_MAX_BYTES_CONFIG, 64 * 1024 * 1024);
    settings.put(StreamsConfig.consumerPrefix(ConsumerConfig.MAX_POLL_RECORDS_CONFIG), 5_000);
    settings.put(StreamsConfig.producerPrefix(ProducerConfig.BATCH_SIZE_CONFIG), 131_072);
    settings.put(StreamsConfig.consumerPrefix(ConsumerConfig.AUTO_OFFSET_RESET_CONFIG), "earliest");
    return settings;
  }

  private static Topology topology(String name, String from, String to) {
    Topology topology = new Topology();
    topology.addSource("in", from);
    if (name.equals("map")) {
      topology.addProcessor("map", Copy::new, "in");
      return topology.addSink("out", to, "map");
    }
    topology.addProcessor("count", Count::new, "in");
    // With its cache a key that changed often between two commits goes to RocksDB and to the changelog once.
    topology.addStateStore(
        Stores.keyValueStoreBuilder(Stores.persistentKeyValueStore("counts"), Serdes.ByteArray(), Serdes.Long())
            .withCachingEnabled(),
        "count");
    return topology.addSink("out", to, "count");
  }

  private static void first() {
    if (!seen.get() && seen.compareAndSet(false, true)) System.out.println("first");
  }

  private static final class Copy implements Processor<byte[], byte[], byte[], byte[]> {
    private ProcessorContext<byte[], byte[]> context;

    @Override
    public void init(ProcessorContext<byte[], byte[]> context) {
      this.context = context;
    }

    @Override
    public void process(Record<byte[], byte[]> record) {
      first();
      context.forward(record);
    }
  }

  private static final class Count implements Processor<byte[], byte[], byte[], byte[]> {
    private ProcessorContext<byte[], byte[]> context;
    private KeyValueStore<byte[], Long> counts;

    @Override
    public void init(ProcessorContext<byte[], byte[]> context) {
      this.context = context;
      this.counts = context.getStateStore("counts");
    }

    @Override
    public void process(Record<byte[], byte[]> record) {
      first();
      Long before = counts.get(record.key());
      long count = before == null ? 1 : before + 1;
      counts.put(record.key(), count);
      byte[] value = record.value().clone();
      ByteBuffer.wrap(value).putDouble(count);
      context.forward(record.withValue(value));
    }
  }
}
