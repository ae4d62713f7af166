"""Parquet files written as Spark's own file sink writes them. Used by the jobs of the payments beside it.

A batch's commit is its line in the log, so nothing has to make its files appear all at once: each task writes to the final place, under a name
that no other attempt has, and tells the driver; what counts is what came from tasks that Spark took for done. On S3 that is two requests a
file, where the committers that `DataFrameWriter` uses make thirty a write and then a listing. See docs/adr/0013-a-log-of-its-own-for-the-stream.md.

These are classes of Spark 4.1's, not of its public interface: another Spark needs tests/e2e/test_payments_files.py and test_stream_faults.py, the long ones too, to pass first.
"""

import tempfile
import uuid

MANAGER = "spark.sql.streaming.checkpointFileManagerClass"
LOCAL = "org.apache.spark.sql.execution.streaming.checkpointing.FileContextBasedCheckpointFileManager"


class ParquetFiles:
    """Writes rows below a store's base."""

    def __init__(self, spark, store):
        self._jvm, self._store = spark._jvm, store
        self._options = self._jvm.PythonUtils.toScalaMap(self._jvm.java.util.HashMap())
        # Spark keeps the list of what tasks have done in a file: here one of the driver's, which the stream's settings could not write.
        self._side = spark._jsparkSession.newSession()
        self._side.conf().set(MANAGER, LOCAL)

    def write(self, rows, folder, partition=""):
        """Write rows below a folder that no other attempt uses, in folders by the column `partition`. Returns the files, as the log's entries name them."""
        jvm, session, plan, place = self._jvm, rows._jdf.sparkSession(), rows._jdf.queryExecution(), self._store.base + folder
        output = plan.analyzed().output()
        jvm.SparkSession.setActiveSession(session)  # of this thread, which may be one of a pool
        with tempfile.TemporaryDirectory(prefix="homelake-files-") as scratch:
            sink = jvm.org.apache.spark.sql.execution.streaming
            done = sink.sinks.FileStreamSinkLog(1, self._side, f"file:{scratch}", jvm.scala.Option.empty())
            protocol = sink.ManifestFileCommitProtocol(uuid.uuid4().hex, place)
            protocol.setupManifestOptions(done, 0)
            columns = [output.apply(i) for i in range(output.size())]
            sources = jvm.org.apache.spark.sql.execution.datasources
            sources.FileFormatWriter.write(
                session, plan.executedPlan(), sources.parquet.ParquetFileFormat(), protocol,
                getattr(sources, "FileFormatWriter$OutputSpec")(place, self._options, output),
                session.sessionState().newHadoopConfWithOptions(self._options), self._sequence(c for c in columns if c.name() == partition),
                jvm.scala.Option.empty(), self._sequence(()), self._options, 0)  # fmt: skip
            found = done.get(0)
            files = [(self._path(f.path()), f.size()) for f in (found.get() if found.isDefined() else ())]
            return [{"path": path, "bytes": size} for path, size in sorted(files)]

    def _path(self, address):
        return self._store.below(self._jvm.org.apache.hadoop.fs.Path(self._jvm.java.net.URI(address)).toString())

    def _sequence(self, items):
        made = self._jvm.java.util.ArrayList()
        for item in items:
            made.add(item)
        return self._jvm.PythonUtils.toSeq(made)


def observed(rows, name):
    """What was observed under this name while the rows were written: once, as long as no exchange comes between `observe` and the write."""
    row = rows._jdf.queryExecution().observedMetrics().apply(name)
    return [row.get(i) for i in range(row.length())]
