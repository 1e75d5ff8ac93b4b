# The slim image holds Airflow alone: every provider beside it is one that the locks name.
FROM apache/airflow:slim-3.3.2-python3.12

COPY requirements.txt /requirements/requirements.txt
COPY docker/requirements.txt /requirements/docker/requirements.txt
RUN pip install --no-cache-dir \
        -r /requirements/requirements.txt -r /requirements/docker/requirements.txt \
    && pip check

# A new volume takes over the owner of the folder it covers; made by anyone else it would be root's.
RUN mkdir --mode=0700 /opt/airflow/auth
