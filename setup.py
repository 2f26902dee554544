"""The packages of all source roots; everything else stands in setup.cfg."""

from setuptools import find_packages, setup

setup(packages=[*find_packages(include=["vmseg_auto*"]), *find_packages("planners"), *find_packages("trainers")])
