"""What the jobs of the payments have in common: files of the lake, where the log's entries are, Spark's session, and a sentence for what was refused.

It stands beside each of them, and imports nothing but Spark.
"""

import json
import os
import sys
from concurrent.futures import ThreadPoolExecutor

FORMAT = 1  # of the log's entries
THREADS = 8  # requests to the lake at once
CONF = {
    "spark.sql.adaptive.enabled": "false",
    "spark.sql.shuffle.partitions": "2",
    "spark.hadoop.mapreduce.fileoutputcommitter.marksuccessfuljobs": "false",
    "spark.hadoop.fs.s3a.performance.flags": "create,delete,mkdir",
}
CREDENTIALS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
REFUSED = {
    "XMinioAdminBucketQuotaExceeded": "the bucket's quota is used up. Raise it in include/lake.yaml and apply",
    "XMinioStorageFull": "the lake's disk is full. Enlarge it (docs/how-to/grow-the-disk.md)",
    "AccessDenied": "the lake refuses the key pair, or the user may not read, write or delete there. Run ./lake plan",
}
# By its class or by its status: a number alone could be part of any request's id.
_NOT_AS_IT_WAS = ("AlreadyExists", "Status Code: 412", "PreconditionFailed", "RemoteFileChanged")


class Unfit(Exception):
    """The job cannot run as declared, or on what is there; a restart does not help."""


def entry(query, batch):
    """Where a batch is committed."""
    return f"_log/{query}/{batch:020d}.json"


def compacted_at(query):
    """Where it is committed which batches were put together, and into what."""
    return f"_log/{query}/compacted.json"


def late_runs(parts):
    """From which batch on how many seconds an event may be behind, as `[batch, seconds]` for each change; not of what was put together without saying."""
    runs = []
    for part in parts:
        said = part.get("late_after", [])
        for run in said if isinstance(said, list) else [[part["batch"], said]]:
            if not runs or runs[-1][1] != run[1]:
                runs.append(run)
    return runs


def newest_entry(lake, query):
    """What a query committed last; None before its first batch, and while everything is put together."""
    newest = lake.newest(f"_log/{query}")
    return None if newest is None else json.loads(lake.read(entry(query, newest)))


def looked_through(lake):
    """The last batch of silver that was looked through for alerts; None before the first look."""
    look = newest_entry(lake, "gold")
    return look and look["silver"]


def session(name, conf=(), path=""):
    """Spark's session in UTC, with CONF and `conf`; what spark-submit was given wins over both. Raises Unfit, at once, when a path in S3 has no key pair."""
    # Before Spark is started: a JVM would take ten seconds to say less clearly what is missing.
    if path.startswith("s3a:") and not all(os.environ.get(n) for n in CREDENTIALS):
        raise Unfit(f"{' or '.join(CREDENTIALS)} is empty. Map both from the Kubernetes secret")
    from pyspark import SparkConf, SparkContext
    from pyspark.sql import SparkSession

    SparkContext._ensure_initialized()  # before the JVM is known a SparkConf is empty, and what spark-submit was given would lose
    given = dict(SparkConf().getAll())
    builder = SparkSession.builder.appName(name).config("spark.sql.session.timeZone", "UTC")  # the tables' dates are UTC's, whatever was given
    for key, value in {**CONF, **dict(conf)}.items():
        if key not in given:
            builder = builder.config(key, value)
    return builder.getOrCreate()


def explained(error):
    """A sentence for what the lake refused; else the error's first line: of a program in Python that Spark called, the line that says what it raised."""
    text = str(error)
    last = text.rpartition("Traceback (most recent call last):")[2]
    passed_on = "py4j.", "An error occurred while calling "
    told = [line.removeprefix(": ").strip() for line in last.splitlines() if line.strip() and not line.startswith("  ")]
    first = next((line for line in told if not line.startswith(passed_on)), type(error).__name__)
    return next((cause for mark, cause in REFUSED.items() if mark in text), first[:600])


def failed(verb, cause, code):
    """Say why the job ends. Returns its exit code."""
    print(f"Unable to {verb}: {cause}.", file=sys.stderr, flush=True)
    return code


def same_code(number):
    """A number that differs from batch to batch, as a column that leaves the generated code the same: a plain one is compiled anew in each batch."""
    from pyspark.sql import functions as f

    return f.coalesce(f.lit(str(number)).cast("bigint"), f.lit(0).cast("bigint"))  # a cast may be null to Spark, and the column would be


class Store:
    """Files below a path, by Hadoop's own file systems, whichever the path names. Only `s3a://` excludes a second writer."""

    def __init__(self, spark, base):
        self._jvm, self._conf = spark._jvm, spark._jsc.hadoopConfiguration()
        path = self._jvm.org.apache.hadoop.fs.Path(base)
        self._fs = path.getFileSystem(self._conf)
        self._root = self._fs.makeQualified(path)
        self.base = f"{self._root.toString()}/"
        self._s3 = self.base.startswith("s3a:")

    def _at(self, name):
        return self._jvm.org.apache.hadoop.fs.Path(self.base + name)

    def read(self, name):
        """A file's text; None when there is none."""
        return self.read_version(name)[0]

    def read_version(self, name):
        """A file's text, and the ETag that it had before it was read; None twice when there is none."""
        status = _unless_missing(lambda: self._fs.getFileStatus(self._at(name)))
        if status is None:
            return None, None
        stream = self._fs.open(self._at(name))
        try:
            return self._jvm.org.apache.commons.io.IOUtils.toString(stream, "UTF-8"), status.getEtag() if self._s3 else "there"
        finally:
            stream.close()

    def create(self, name, text):
        """Write a file in one step, unless it is there. Returns whether it was written."""
        return self.replace(name, text, None)

    def replace(self, name, text, version):
        """Write a file in one step, if it is still as it was read (None: if there is none). Returns whether it was written: it is there with this text.

        An answer may be lost on the way. The client then asks again, and is told that the file is not as it was: by its own first try.
        """
        builder = self._fs.createFile(self._at(name)).overwrite(version is not None).recursive()
        if self._s3 and version:
            builder = builder.opt("fs.option.create.conditional.overwrite.etag", version)
        elif self._s3:
            builder = builder.opt("fs.option.create.conditional.overwrite", True)
        try:
            stream = builder.build()
            stream.write(bytearray(text.encode()))
            stream.close()
        except Exception as error:
            if any(mark in str(error) for mark in _NOT_AS_IT_WAS):
                return self.read(name) == text
            raise
        return True

    def names(self, folder):
        """The names in a folder; none when there is no such folder."""
        return [s.getPath().getName() for s in _unless_missing(lambda: self._fs.listStatus(self._at(folder))) or ()]

    def newest(self, folder):
        """The highest number that a file in a folder is named after, as `12` or `00000000000000000012.json`; None without one."""
        names = [n.removesuffix(".json") for n in self.names(folder)]
        return max((int(n) for n in names if n.isdigit()), default=None)

    def listing(self, folder):
        """Path below the base, bytes, and time of change (ms) of each file under a folder; none when there is no such folder."""
        return sorted(_unless_missing(lambda: self._listed(folder)) or ())

    def _listed(self, folder):
        found, listed = [], self._fs.listFiles(self._at(folder), True)
        while listed.hasNext():
            one = listed.next()
            found.append((self.below(one.getPath().toString()), one.getLen(), one.getModificationTime()))
        return found

    def below(self, path):
        """A path as the log's entries have it."""
        return path.removeprefix(self.base)

    def rows(self, name):
        """The rows of a Parquet file, out of its footer."""
        parquet = self._jvm.org.apache.parquet.hadoop
        reader = parquet.ParquetFileReader.open(parquet.util.HadoopInputFile.fromPath(self._at(name), self._conf))
        try:
            return reader.getRecordCount()
        finally:
            reader.close()

    def delete(self, names, folders=()):
        """Remove files, then those of these folders that hold none. What is gone already is none's loss."""
        io = self._jvm.org.apache.hadoop.io.wrappedio.WrappedIO
        page = io.bulkDelete_pageSize(self._fs, self._root) if names else 1
        for start in range(0, len(names), page):
            paths = self._jvm.java.util.ArrayList()
            for name in names[start : start + page]:
                paths.add(self._at(name))
            if left := io.bulkDelete_delete(self._fs, self._root, paths):
                raise OSError(f"{len(left)} files were not removed, the first {left[0].getKey()}: {left[0].getValue()}")
        with ThreadPoolExecutor(THREADS) as pool:
            list(pool.map(self._remove_empty, folders))

    def remove(self, folder):
        """Remove a folder with everything in it; one that is gone already is none's loss."""
        self._fs.delete(self._at(folder), True)

    def _remove_empty(self, folder):
        # A flat listing: where versions are kept, MinIO shows a folder in a folder as long as it holds delete markers.
        if not self.listing(folder):
            self.remove(folder)


def _unless_missing(call):
    """What a call gives; None when it says that there is no such file."""
    try:
        return call()
    except Exception as error:
        if "java.io.FileNotFoundException" in str(error):
            return None
        raise
