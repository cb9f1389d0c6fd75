"""Options of the JVM in tests: of short jobs most seconds are the optimising compiler's and the parallel collector's."""

JAVA_OPTIONS = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
