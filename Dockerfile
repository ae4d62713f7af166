# The project as an Astro image: Airflow 3.3.2, as in requirements.txt. The base image's own triggers install packages.txt and
# requirements.txt and copy the project to /usr/local/airflow, which is on PYTHONPATH there, as it is under ./lake.
FROM astrocrpublic.azurecr.io/runtime:3.3-8

# The test button of Admin → Connections.
ENV AIRFLOW__CORE__TEST_CONNECTION=Enabled
# Reading every DAG each 30 s, which is Airflow's default, takes half a core. A file that changes is read at once all the same.
ENV AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL=300
