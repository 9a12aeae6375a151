"""The central experiment: are the features that attacks use real features of the data? (Ilyas et al. 2019.)"""
